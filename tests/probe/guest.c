/* A Cortex-M3 that spends its time in functions of which each takes a few times as much as the next. Not instrumented. */

#define OUTLINE __attribute__((noinline))

volatile unsigned sink;

OUTLINE void first(unsigned n) {
    while (n--)
        sink += n;
}

OUTLINE void second(unsigned n) {
    while (n--)
        sink ^= n;
}

OUTLINE void third(unsigned n) {
    while (n--)
        sink -= n;
}

OUTLINE void fourth(unsigned n) {
    while (n--)
        sink |= n;
}

_Noreturn void begin(void) {
    for (;;) {
        first(8000);
        second(2000);
        third(500);
        fourth(125);
    }
}

extern char __stack_top[];
__attribute__((section(".vectors"), used)) static void *const vectors[] = {__stack_top, begin};
