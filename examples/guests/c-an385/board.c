/* Arm's MPS2 board with the AN385 image: a Cortex-M3 at 25 MHz and a CMSDK UART.

   What leaves is lines on the console, the same as the Rust guests':

       phase 1 step 1500      a phase begins, before its first step
       tally parse 7500       after the last phase
       rest                   from here on no instrumented code runs

   What always holds: this file is compiled without coverage counters, so that the counters of the others
   depend on the number of steps alone. */
#include "board.h"

#include <stddef.h>

#ifdef FLAT_OUT
enum { PACED = 0 };
#else
enum { PACED = 1 };
#endif

/* At one step per millisecond a phase lasts 1.5 s. */
enum { STEPS_PER_PHASE = 1500 };

/* The processor's clock, which drives SysTick. */
enum { CLOCK_HZ = 25000000 };

/* Armv7-M: SysTick, and the bits of the interrupt control and state register that tell of it. */
#define SYST_CSR (*(volatile uint32_t *)0xE000E010)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018)
#define SCB_ICSR (*(volatile uint32_t *)0xE000ED04)
enum { SYST_ENABLE = 1, SYST_TICKINT = 2, SYST_CLKSOURCE = 4 };
enum { ICSR_PENDSTCLR = 1 << 25, ICSR_PENDSTSET = 1 << 26 };

/* UART0 (Arm DAI 0385D, section 3.7). */
#define UART_DATA (*(volatile uint32_t *)0x40004000)
#define UART_STATE (*(volatile uint32_t *)0x40004004)
#define UART_CTRL (*(volatile uint32_t *)0x40004008)
enum { UART_STATE_TX_FULL = 1, UART_CTRL_TX_ENABLE = 1 };

/* Steps done so far; wraps around. A host can read the rate from memory. */
volatile uint32_t LOOPS;

static void start(void) {
    /* A pending interrupt ends wfi though it is masked: the tick needs no handler. */
    __asm__ volatile("cpsid i");
    UART_CTRL = UART_CTRL_TX_ENABLE;
    SYST_RVR = CLOCK_HZ / 1000 - 1;
    SYST_CVR = 0;
    SYST_CSR = SYST_ENABLE | SYST_TICKINT | SYST_CLKSOURCE;
}

static void wait_for_tick(void) {
    while (!(SCB_ICSR & ICSR_PENDSTSET))
        __asm__ volatile("wfi");
    SCB_ICSR = ICSR_PENDSTCLR;
}

static _Noreturn void rest(void) {
    SYST_CSR = 0;
    for (;;)
        __asm__ volatile("wfi");
}

static void put(char byte) {
    while (UART_STATE & UART_STATE_TX_FULL) {
    }
    UART_DATA = (uint8_t)byte;
}

static void print(const char *text) {
    while (*text)
        put(*text++);
}

static void print_number(uint32_t number) {
    if (number >= 10)
        print_number(number / 10);
    put((char)('0' + number % 10));
}

static void print_line(const char *first, uint32_t number, const char *second, uint32_t second_number) {
    print(first);
    print_number(number);
    print(second);
    print_number(second_number);
    print("\n");
}

void play(unsigned phases, void (*step)(unsigned phase), const struct tally *tally, unsigned tallies) {
    start();
    for (unsigned phase = 0; phase < phases; phase++) {
        print_line("phase ", phase, " step ", LOOPS);
        for (uint32_t left = STEPS_PER_PHASE; left > 0;) {
            step(phase);
            LOOPS++;
            if (PACED)
                wait_for_tick();
            if (PACED || phase + 1 < phases)
                left--;
        }
    }
    for (unsigned i = 0; i < tallies; i++) {
        print("tally ");
        print(tally[i].name);
        print(" ");
        print_number(tally[i].calls);
        print("\n");
    }
    print("rest\n");
    rest();
}

/* From an385.x. */
extern uint32_t __bss_start[], __bss_end[], __data_start[], __data_end[], __data_load[], __stack_top[];

int main(void);

/* Where the processor begins. */
_Noreturn void reset(void);

void reset(void) {
    for (uint32_t *to = __data_start, *from = __data_load; to < __data_end;)
        *to++ = *from++;
    for (uint32_t *to = __bss_start; to < __bss_end;)
        *to++ = 0;
    main();
    for (;;) {
    }
}

static _Noreturn void fault(void) {
    print("fault\n");
    rest();
}

/* Stack, reset, NMI, hard fault; nothing else is ever enabled. */
__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    __stack_top,
    (void *)reset,
    (void *)fault,
    (void *)fault,
};
