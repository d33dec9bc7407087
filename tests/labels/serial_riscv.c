/* A serial port on PCI, polled: QEMU's virt board with a RISC-V processor has only one of its own. It is device 1, and
   nobody but this has said where its ports are. */
#include "guest.h"

char next_command(void);

#define CONFIG (0x30000000 + (1 << 15))
#define COMMAND (*(volatile uint16_t *)(CONFIG + 4))
#define BASE_ADDRESS (*(volatile uint32_t *)(CONFIG + 0x10))

/* Ports are in memory from here on. */
#define PORTS 0x03000000
#define PORT 0x1000
#define UART_DATA (*(volatile uint8_t *)(PORTS + PORT))
#define UART_STATE (*(volatile uint8_t *)(PORTS + PORT + 5))

char next_command(void) {
    BASE_ADDRESS = PORT;
    COMMAND = 1;
    while (!(UART_STATE & 1))
        wait();
    return (char)UART_DATA;
}
