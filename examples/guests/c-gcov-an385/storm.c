/* What is hardest to read while it runs: each turn goes another way through many branches, whose counters lie beside each
   other, and neither rests nor returns. */
#include "../c-an385/board.h"

#include <stddef.h>

static volatile uint32_t sum;

/* Marsaglia's xorshift: the same numbers in every run. */
static uint32_t next_random(void) {
    static uint32_t random = 0x2545F491;
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    return random;
}

/* Two ways at each bit; a loop within, and a way out of it. */
static __attribute__((noinline)) uint32_t turn(uint32_t bits) {
    if (bits & 1)
        sum += 1;
    else
        sum -= 1;
    if (bits & 2)
        sum ^= bits;
    if ((bits & 4) && (bits & 8))
        sum += 3;
    else if ((bits & 16) || (bits & 32))
        sum += 5;
    for (uint32_t left = bits >> 28; left != 0; left--) {
        if (sum == left)
            break;
        sum += left & 1 ? left : bits;
    }
    switch (bits >> 8 & 7) {
    case 0: sum += 7; break;
    case 1: sum -= 7; break;
    case 2: return bits;
    case 5: sum *= 3; break;
    default: break;
    }
    return bits ^ sum;
}

static void step(unsigned phase) {
    (void)phase;
    uint32_t bits = 0;
    for (;;) {
        bits ^= next_random();
        if (bits & 1)
            sum += turn(bits);
        else if (bits & 2)
            sum ^= bits;
        if ((bits & 12) == 12)
            continue;
        sum += bits & 16 ? 9 : 11;
    }
}

int main(void) {
    play(1, step, NULL, 0);
}
