/* What is instrumented: two counters that the compiler's own code never changes, and one that it does. */
#include <stdint.h>

static volatile uint32_t sink;

void counted(uint32_t step) {
    if (step > 7)
        sink = step;
}

void beat(void) { sink++; }
