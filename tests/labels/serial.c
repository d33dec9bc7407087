/* The second serial port of a PC, polled. */
#include "guest.h"

char next_command(void);

static uint8_t in(uint16_t port) {
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

char next_command(void) {
    while (!(in(0x2f8 + 5) & 1))
        wait();
    return (char)in(0x2f8);
}
