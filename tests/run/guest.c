/* A guest that counts a known number of calls, and ends at once: nothing runs between its last count and its end, whose
   way and exit code the compiler is told.

     -DCALLS=N      how often `counted` is called; 0: without end
     -DCODE=N       the exit code, where the way to the end has one

   What follows is not instrumented but for `counted`, `odd` and `workload`. */

#define PLAIN __attribute__((no_profile_instrument_function))

volatile unsigned sink;

__attribute__((noinline)) void odd(unsigned i) {
    sink += i;
}

__attribute__((noinline)) void counted(unsigned i) {
    if (i & 1)
        odd(i);
}

__attribute__((noinline)) void workload(void) {
    for (unsigned i = 0; CALLS == 0 || i < CALLS; i++)
        counted(i);
}

PLAIN _Noreturn static void finish(void);

PLAIN _Noreturn void begin(void) {
    workload();
    finish();
}

#if defined(__i386__)

/* QEMU enters in 32-bit protected mode; isa-debug-exit makes (code << 1) | 1 of what is written. */
__asm__(".section .note.pvh,\"a\",@note\n.balign 4\n.long 4, 4, 18\n.asciz \"Xen\"\n.long _start\n"
        ".section .text.start,\"ax\"\n.global _start\n_start: mov $__stack_top, %esp\ncall begin\n");

PLAIN _Noreturn static void finish(void) {
    for (;;)
        __asm__ volatile("outl %0, %1" ::"a"(CODE), "Nd"((unsigned short)0xf4));
}

#elif defined(__arm__)

/* The vectors of a Cortex-M: stack and entry. */
extern char __stack_top[];
__attribute__((section(".vectors"), used)) static void *const vectors[] = {__stack_top, begin};

PLAIN _Noreturn static void semihost(unsigned operation, const void *parameter) {
    register unsigned r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = parameter;
    for (;;)
        __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

PLAIN _Noreturn static void finish(void) {
#ifdef PLAIN_EXIT
    semihost(0x18, (const void *)(CODE ? 0x20023 : 0x20026)); /* SYS_EXIT: a reason, and no code */
#else
    static const unsigned block[] = {0x20026, CODE};
    semihost(0x20, block); /* SYS_EXIT_EXTENDED */
#endif
}

#elif defined(__riscv)

__asm__(".section .text.start,\"ax\"\n.global _start\n_start: la sp, __stack_top\nj begin\n");

/* The virt machine's sifive-test finisher. */
PLAIN _Noreturn static void finish(void) {
    volatile unsigned *const finisher = (volatile unsigned *)0x100000;
    for (;;)
        *finisher = CODE ? CODE << 16 | 0x3333 : 0x5555;
}

#elif defined(__aarch64__)

__asm__(".section .text.start,\"ax\"\n.global _start\n_start: ldr x0, =__stack_top\nmov sp, x0\nb begin\n");

/* PSCI's SYSTEM_OFF; it has no exit code. */
PLAIN _Noreturn static void finish(void) {
    register unsigned long x0 __asm__("x0") = 0x84000008;
    for (;;)
        __asm__ volatile("hvc #0" : "+r"(x0)::"memory");
}

#endif
