/* The second serial port of QEMU's virt board with an Arm processor, polled (Arm PL011: DDI 0183G, section 3.3). */
#include "guest.h"

char next_command(void);

#define UART_DATA (*(volatile uint32_t *)0x09040000)
#define UART_FLAGS (*(volatile uint32_t *)0x09040018)
#define UART_CONTROL (*(volatile uint32_t *)0x09040030)

char next_command(void) {
    UART_CONTROL = 0x301;
    while (UART_FLAGS & 0x10)
        wait();
    return (char)UART_DATA;
}
