/* Works for a while, and then rests: its counts stand still. */
#include "guest.h"

static volatile uint32_t sink;

__attribute__((noinline)) static void step(uint32_t number) {
    if (number % 3 == 0)
        sink += number;
    else
        sink ^= number;
}

int main(void) {
    say("working for ", STEPS, " steps, ", 0);
    for (uint32_t number = 0; number < STEPS; number++)
        step(number);
    say_rest();
    return 0;
}
