/* The second serial port of Arm's MPS2 board, polled (CMSDK APB UART: Arm DDI 0479D, section 4.3). */
#include "guest.h"

char next_command(void);

#define UART_DATA (*(volatile uint32_t *)0x40005000)
#define UART_STATE (*(volatile uint32_t *)0x40005004)
#define UART_CTRL (*(volatile uint32_t *)0x40005008)

char next_command(void) {
    UART_CTRL = 2;
    while (!(UART_STATE & 2))
        wait();
    return (char)UART_DATA;
}
