/* QEMU's virt board with a RISC-V processor of 32 or 64 bits. */
#include "guest.h"
#include "put.h"

struct kept *const KEPT = (struct kept *)0x80800000;

/* An NS16550. */
#define UART_DATA (*(volatile uint8_t *)0x10000000)
#define UART_STATE (*(volatile uint8_t *)0x10000005)

void put(char byte) {
    while (!(UART_STATE & 0x20)) {
    }
    UART_DATA = (uint8_t)byte;
}

void wait(void) { __asm__ volatile("nop"); }

void reset_machine(uint32_t run) {
    (void)run;
#ifndef BY_HOST
    /* The sifive-test finisher. */
    for (;;)
        *(volatile uint32_t *)0x100000 = 0x7777;
#endif
}

#include "start.h"

__asm__(".pushsection .start, \"ax\"\n"
        ".globl start\n"
        "start: la sp, stack + 16384\n"
        "call begin_here\n"
        "1: wfi\n"
        "j 1b\n"
        ".popsection");
