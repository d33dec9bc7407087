/* A program whose counters carry into their upper half at every step, and are written in two halves.

   What leaves is lines on the console, "storm" when it begins and "rest N 0" when it has ended, after N steps; and two
   counters of the program's own region, which no compiler's code touches:

       the first     lower half first
       the second    upper half first

   What always holds: a step adds 0xffffffff to each. So after N steps each is N * 0xffffffff, whose halves add up to
   0xffffffff, or are both 0; halves of two steps never do. Steps come in bursts, with a short rest after each and a long
   one after BURSTS of them. A byte on the second UART ends it after the burst. */
#include "guest.h"

/* How many bursts are between two long rests. */
#ifndef BURSTS
#define BURSTS 64
#endif

/* Of the board's timer. */
#define TICKS_PER_MS 25000u
#define BURST_MS 60u
#define SHORT_REST_MS 3u
#define LONG_REST_MS 1300u

/* CMSDK APB timer and UART (Arm DDI 0479D, sections 4.3 and 4.4). */
#define TIMER_CTRL (*(volatile uint32_t *)0x40000000)
#define TIMER_VALUE (*(volatile uint32_t *)0x40000004)
#define TIMER_RELOAD (*(volatile uint32_t *)0x40000008)
#define UART1_STATE (*(volatile uint32_t *)0x40005004)
#define UART1_CTRL (*(volatile uint32_t *)0x40005008)

/* Where the linker has the counters begin: counted.c's first. */
extern volatile uint32_t __start___llvm_prf_cnts[];

void counted(uint32_t step);
void beat(void);

/* QEMU stops a guest between two blocks of code only: this ends one, and takes a while. */
__attribute__((noinline)) static void between(void) {
    for (volatile uint32_t turn = 0; turn < 4; turn++)
        wait();
}

static void lower_first(volatile uint32_t *halves, uint32_t lower, uint32_t upper) {
    halves[0] = lower;
    between();
    halves[1] = upper;
}

static void upper_first(volatile uint32_t *halves, uint32_t lower, uint32_t upper) {
    halves[1] = upper;
    between();
    halves[0] = lower;
}

static uint32_t ms_since(uint32_t then) { return (then - TIMER_VALUE) / TICKS_PER_MS; }

static void rest(uint32_t time_ms) {
    uint32_t then = TIMER_VALUE;
    while (ms_since(then) < time_ms)
        wait();
}

static uint32_t burst(uint32_t step) {
    volatile uint32_t *counters = __start___llvm_prf_cnts;
    uint32_t then = TIMER_VALUE;
    while (ms_since(then) < BURST_MS) {
        for (uint32_t turn = 0; turn < 16; turn++) {
            step++;
            lower_first(counters, 0u - step, step - 1);
            upper_first(counters + 2, 0u - step, step - 1);
        }
        beat();
    }
    return step;
}

int main(void) {
    uint32_t step = 0;
    UART1_CTRL = 3;
    TIMER_RELOAD = 0xffffffff;
    TIMER_VALUE = 0xffffffff;
    TIMER_CTRL = 1;
    say("storm ", 0, " ", 0);
    for (uint32_t bursts = 1; !(UART1_STATE & 2); bursts++) {
        step = burst(step);
        rest(bursts % BURSTS ? SHORT_REST_MS : LONG_REST_MS);
    }
    say("rest ", step, " ", 0);
    /* Never: it is here for its counters. */
    if (step == 0)
        counted(step);
    for (;;)
        wait();
}
