/* Arm's MPS2 board with the AN385 image: resets by its watchdog and by the processor's own request, in turns. */
#include "guest.h"
#include "put.h"

/* At the end of the second RAM, which nothing is loaded to. */
struct kept *const KEPT = (struct kept *)0x203ffff0;

#define UART_DATA (*(volatile uint32_t *)0x40004000)
#define UART_STATE (*(volatile uint32_t *)0x40004004)
#define UART_CTRL (*(volatile uint32_t *)0x40004008)
/* CMSDK APB watchdog (Arm DDI 0479D, section 4.5). */
#define WDOG_LOAD (*(volatile uint32_t *)0x40008000)
#define WDOG_CONTROL (*(volatile uint32_t *)0x40008008)
#define WDOG_LOCK (*(volatile uint32_t *)0x40008c00)
/* Armv7-M: the application interrupt and reset control register. */
#define SCB_AIRCR (*(volatile uint32_t *)0xe000ed0c)

void put(char byte) {
    while (UART_STATE & 1) {
    }
    UART_DATA = (uint8_t)byte;
}

void wait(void) { __asm__ volatile("nop"); }

void reset_machine(uint32_t run) {
#if defined(BY_HOST)
    (void)run;
#else
    if (run % 2) {
        SCB_AIRCR = 0x05fa0004;
    } else {
        WDOG_LOCK = 0x1acce551;
        WDOG_LOAD = 1000;
        WDOG_CONTROL = 3;
    }
    for (;;)
        wait();
#endif
}

extern uint32_t __bss_start[], __bss_end[], __data_start[], __data_end[], __data_load[], __stack_top[];

int main(void);

_Noreturn void reset(void) {
    for (uint32_t *to = __data_start, *from = __data_load; to < __data_end;)
        *to++ = *from++;
    for (uint32_t *to = __bss_start; to < __bss_end;)
        *to++ = 0;
    UART_CTRL = 1;
    main();
    for (;;)
        wait();
}

/* The watchdog interrupts once before it resets. */
static void warned(void) {
    for (;;)
        wait();
}

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    __stack_top,
    (void *)reset,
    (void *)warned,
};
