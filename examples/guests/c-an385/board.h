/* The machine below the workload. Never instrumented: it waits for a timer. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/* Calls of one function as the guest counts them itself: what coverage counters are compared with. */
struct tally {
    const char *name;
    uint32_t calls;
};

/* Plays `phases` phases of a workload, prints the tally of `tallies` functions, and rests for ever.

   `step` is called once per millisecond with the number of the phase. With FLAT_OUT defined it is called
   without a pause, and the last phase never ends. */
_Noreturn void play(unsigned phases, void (*step)(unsigned phase), const struct tally *tally, unsigned tallies);

#endif
