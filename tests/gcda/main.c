/* Every kind of counters that GCC keeps, with values that the argument decides. */
#include <stdlib.h>
#include <string.h>

unsigned divide(unsigned x, unsigned by);
int never(int x);

static int add(int x) { return x + 1; }
static int twice(int x) { return x * 2; }
static int square(int x) { return x * x; }

static int (*const CALLS[])(int) = { add, twice, square };
static char from[512], to[512];
volatile unsigned sink;

__attribute__((noinline)) static void copy(unsigned len)
{
    memcpy(to, from, len);
}

int main(int argc, char **argv)
{
    unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    for (unsigned i = 0; i < 40 * n; i++) {
        sink += CALLS[(i * n) % 3](3);
        sink += divide(1000 + i, 1 + i * i % (20 * n));
        copy(i % (8 * n));
        switch (i % (n + 2)) {
        case 0: sink++; break;
        case 3: sink--; break;
        default: sink ^= 1;
        }
    }
    if (n > 1000)
        sink = never(1);
    return 0;
}
