/* QEMU's virt board with a 64-bit Arm processor, its MMU off. */
#include "guest.h"
#include "put.h"

struct kept *const KEPT = (struct kept *)0x40800000;

/* Arm PL011 (DDI 0183G, section 3.3). */
#define UART_DATA (*(volatile uint32_t *)0x09000000)
#define UART_FLAGS (*(volatile uint32_t *)0x09000018)
#define UART_CONTROL (*(volatile uint32_t *)0x09000030)

void put(char byte) {
    while (UART_FLAGS & 0x20) {
    }
    UART_DATA = (uint8_t)byte;
}

void wait(void) { __asm__ volatile("nop"); }

void reset_machine(uint32_t run) {
    (void)run;
#ifndef BY_HOST
    /* PSCI's SYSTEM_RESET. */
    register uint64_t x0 __asm__("x0") = 0x84000009;
    for (;;)
        __asm__ volatile("hvc #0" : "+r"(x0)::"memory");
#endif
}

#define SET_UP() (UART_CONTROL = 0x301)
#include "start.h"

__asm__(".pushsection .start, \"ax\"\n"
        ".globl start\n"
        "start: adrp x0, stack + 16384\n"
        "add x0, x0, :lo12:stack + 16384\n"
        "mov sp, x0\n"
        "bl begin_here\n"
        "1: wfi\n"
        "b 1b\n"
        ".popsection");
