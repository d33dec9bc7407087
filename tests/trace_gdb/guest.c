/* A Cortex-M3, RISC-V or PC that goes round for ever: some code ran once, some runs in every turn, and some never does. Not
   instrumented. Linked with the script of the guests that `covtap run` runs. With CLOCK, an MPS2's timer counts down
   meanwhile, from 2^32 at 25 MHz, and stands still when the machine does. */

#define OUTLINE __attribute__((noinline))

volatile unsigned sink, turns;

OUTLINE void once(void) { sink = 7; }

OUTLINE void even(unsigned i) { sink += i; }

OUTLINE void odd(unsigned i) {
    for (unsigned n = 0; n < (i & 7); n++)
        sink ^= n;
}

OUTLINE void never(unsigned i) {
    while (i--)
        sink--;
}

OUTLINE void turn(unsigned i) {
    if (i & 1)
        odd(i);
    else
        even(i);
    if (sink == 0 && turns == 0xffffffff)
        never(i);
    switch (i & 3) {
    case 0:
        sink |= 1;
        break;
    case 3:
        sink = sink * 3 + 1;
        break;
    default:
        sink >>= 1;
    }
}

_Noreturn void begin(void) {
#ifdef CLOCK
    volatile unsigned *const timer = (volatile unsigned *)0x40000000;
    timer[2] = 0xffffffff;
    timer[0] = 1;
#endif
    once();
    for (;;)
        turn(turns++);
}

#if defined(__arm__)
extern char __stack_top[];
__attribute__((section(".vectors"), used)) static void *const vectors[] = {__stack_top, begin};
#elif defined(__riscv)
__asm__(".section .text.start,\"ax\"\n.global _start\n_start: la sp, __stack_top\nj begin\n");
#elif defined(__i386__)
__asm__(".section .note.pvh,\"a\",@note\n.balign 4\n.long 4, 4, 18\n.asciz \"Xen\"\n.long _start\n"
        ".section .text.start,\"ax\"\n.global _start\n_start: mov $__stack_top, %esp\ncall begin\n");
#endif
