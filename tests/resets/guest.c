/* A program that is reset again and again, by itself or by somebody else, and says before each reset what it counted.

   What leaves is lines on the console:

       run 3 steps 20481       before a reset
       rest                    after the last run; nothing counts any more

   What always holds: the number of runs so far is in memory that a reset leaves alone, and is checked by its
   complement: whatever is there at power-on is no number. */
#include "guest.h"

static volatile uint32_t sink;

__attribute__((noinline)) static void even(uint32_t step) { sink += step; }

__attribute__((noinline)) static void odd(uint32_t step) { sink ^= step; }

__attribute__((noinline)) static void begin(void) { sink = 1; }

static void work(uint32_t steps) {
    for (uint32_t step = 0; step < steps; step++) {
        if (step % 2)
            odd(step);
        else
            even(step);
    }
}

/* A number of steps that differs from run to run: now more, now less than the run before, or always less; or the same. */
static uint32_t steps_of(uint32_t run) {
#if defined(EVER_THE_SAME)
    (void)run;
    return STEPS;
#elif defined(EVER_LESS)
    return STEPS - run * (STEPS / (RUNS + 10));
#else
    return STEPS / 2 + (run * 7919) % STEPS;
#endif
}

#ifdef BY_COMMAND
char next_command(void);
#endif

int main(void) {
    struct kept *kept = KEPT;
    if (kept->run != ~kept->check)
        kept->run = 0;
    uint32_t run = kept->run++;
    kept->check = ~kept->run;
#ifdef BY_COMMAND
    /* The one who listens is to be there first. */
    if (run == 0)
        next_command();
#endif
    begin();
    work(steps_of(run));
    say("run ", run, " steps ", steps_of(run));
    if (run < RUNS)
        reset_machine(run);
    say_rest();
    for (;;)
        wait();
}
