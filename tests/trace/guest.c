/* A guest that counts nothing: it runs programs and ends the emulator, with a code of its own if one of them faulted.

   By semihosting, but on the PC, which has none: there isa-debug-exit makes (code << 1) | 1 of what is written, and a
   fault is a reset. */
#include <stddef.h>
#include <stdint.h>

enum { FINE = 0x20026 /* ADP_Stopped_ApplicationExit */, WRONG = 0x20023 /* ADP_Stopped_RunTimeErrorUnknown */ };

#ifdef __x86_64__
static _Noreturn void end(uintptr_t why) {
    for (;;)
        __asm__ volatile("outl %0, %1" ::"a"(why == FINE ? 0 : 1), "Nd"((uint16_t)0xf4));
}
#else
static _Noreturn void end(uintptr_t why) {
#ifdef __arm__
    /* SYS_EXIT: the reason alone. */
    register uintptr_t number __asm__("r0") = 0x18;
    register uintptr_t reason __asm__("r1") = why;
    for (;;)
        __asm__ volatile("bkpt 0xab" : : "r"(number), "r"(reason));
#else
    /* SYS_EXIT_EXTENDED: a reason and a code. */
    volatile uintptr_t block[] = {why, why == FINE ? 0 : 1};
#ifdef __aarch64__
    register uintptr_t number __asm__("x0") = 0x20;
    register volatile uintptr_t *parameter __asm__("x1") = block;
    for (;;)
        __asm__ volatile("hlt 0xf000" : : "r"(number), "r"(parameter) : "memory");
#else
    register uintptr_t number __asm__("a0") = 0x20;
    register volatile uintptr_t *parameter __asm__("a1") = block;
    for (;;)
        __asm__ volatile(".balign 16\n"
                         ".option push\n"
                         ".option norvc\n"
                         "slli zero, zero, 0x1f\n"
                         "ebreak\n"
                         "srai zero, zero, 7\n"
                         ".option pop"
                         :
                         : "r"(number), "r"(parameter)
                         : "memory");
#endif
#endif
}
#endif

__attribute__((used, aligned(4))) static void fault(void) {
    end(WRONG);
}

/* What compilers call by themselves. */
__attribute__((used)) void *memset(void *to, int byte, size_t len) {
    volatile char *t = to;
    while (len--)
        *t++ = (char)byte;
    return to;
}

__attribute__((used)) void *memcpy(void *to, const void *from, size_t len) {
    volatile char *t = to;
    for (const char *f = from; len--;)
        *t++ = *f++;
    return to;
}

__attribute__((used)) _Noreturn void abort(void) {
    end(WRONG);
}

/* Made for each build: calls every program. */
void run_programs(int n);

/* From the linker script. */
extern void (*const __init_start[])(void), (*const __init_end[])(void);

__attribute__((used)) _Noreturn void begin(void) {
    for (void (*const *init)(void) = __init_start; init < __init_end; init++)
        (*init)();
    for (int n = 0; n < 4; n++)
        run_programs(n * 3 - n % 2);
    end(FINE);
}

#ifdef __arm__
extern uint32_t __stack_top[];
/* Stack, reset, NMI, hard fault. */
__attribute__((section(".begin"), used)) static void *const vectors[16] = {
    __stack_top,
    (void *)begin,
    (void *)fault,
    (void *)fault,
};
#elif defined(__riscv)
__asm__(".section .begin, \"ax\"\n"
        "    .option arch, +zicsr\n"
        "    la sp, __stack_top\n"
        "    la t0, fault\n"
        "    csrw mtvec, t0\n"
        "    j begin\n"
        "    .text\n");
#elif defined(__aarch64__)
__asm__(".section .begin, \"ax\"\n"
        "    ldr x0, =__stack_top\n"
        "    mov sp, x0\n"
        "    adr x0, exceptions\n"
        "    msr vbar_el1, x0\n"
        "    b begin\n"
        "    .ltorg\n"
        "    .balign 2048\n"
        "exceptions:\n"
        "    .rept 16\n"
        "    b fault\n"
        "    .balign 128\n"
        "    .endr\n"
        "    .text\n");
#else
/* QEMU enters in 32-bit protected mode; the first gigabyte is where it is. */
__asm__(".section .note.pvh, \"a\", @note\n"
        "    .balign 4\n"
        "    .long 4, 4, 18\n"
        "    .asciz \"Xen\"\n"
        "    .long _start\n"
        "    .section .begin, \"ax\"\n"
        "    .code32\n"
        "    .global _start\n"
        "_start:\n"
        "    mov $level4, %eax\n"
        "    mov %eax, %cr3\n"
        "    mov $0x620, %eax\n" /* PAE, and SSE */
        "    mov %eax, %cr4\n"
        "    mov $0xc0000080, %ecx\n"
        "    rdmsr\n"
        "    or $0x100, %eax\n" /* long mode */
        "    wrmsr\n"
        "    mov %cr0, %eax\n"
        "    and $~4, %eax\n"
        "    or $0x80000002, %eax\n" /* paging, and SSE */
        "    mov %eax, %cr0\n"
        "    lgdt descriptors_at\n"
        "    ljmp $8, $long_mode\n"
        "    .code64\n"
        "long_mode:\n"
        "    mov $16, %eax\n"
        "    mov %eax, %ds\n"
        "    mov %eax, %es\n"
        "    mov %eax, %ss\n"
        "    mov $__stack_top, %rsp\n"
        "    call begin\n"
        "    .section .data.boot, \"aw\"\n"
        "    .balign 4096\n"
        "level4: .quad level3 + 3\n"
        "    .fill 511, 8, 0\n"
        "level3: .quad level2 + 3\n"
        "    .fill 511, 8, 0\n"
        "    .set page, 0\n"
        "level2:\n"
        "    .rept 512\n"
        "    .quad page + 0x83\n"
        "    .set page, page + 0x200000\n"
        "    .endr\n"
        "descriptors: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff\n"
        "descriptors_at: .word 23\n"
        "    .long descriptors\n"
        "    .text\n");
#endif
