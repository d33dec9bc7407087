/* What the machine below the program offers. Never instrumented. */
#ifndef GUEST_H
#define GUEST_H

#include <stdint.h>

/* How many resets there are, and about how many steps a run has. */
#ifndef RUNS
#define RUNS 50
#endif
#ifndef STEPS
#define STEPS 200000u
#endif

/* Memory that no reset changes. */
struct kept {
    uint32_t run, check;
};
extern struct kept *const KEPT;

/* Resets the machine in one of its ways; if it returns, somebody else is to do it. */
void reset_machine(uint32_t run);

/* Waits for a moment. */
void wait(void);

void say(const char *first, uint32_t number, const char *second, uint32_t second_number);
void say_rest(void);

#endif
