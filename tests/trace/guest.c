/* A guest that counts nothing: it runs programs and ends the emulator, with 0 if none of them faulted. */
#include <stddef.h>
#include <stdint.h>

/* Arm semihosting: SYS_EXIT with ADP_Stopped_ApplicationExit, or with ADP_Stopped_RunTimeErrorUnknown. */
static _Noreturn void end(uint32_t why) {
    register uint32_t number __asm__("r0") = 0x18;
    register uint32_t reason __asm__("r1") = why;
    for (;;)
        __asm__ volatile("bkpt 0xab" : : "r"(number), "r"(reason));
}

__attribute__((used)) static void fault(void) {
    end(0x20023);
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
    end(0x20023);
}

/* Made for each build: calls every program. */
void run_programs(int n);

/* From the linker script. */
extern void (*const __init_start[])(void), (*const __init_end[])(void);

__attribute__((used)) _Noreturn static void begin(void) {
    for (void (*const *init)(void) = __init_start; init < __init_end; init++)
        (*init)();
    for (int n = 0; n < 4; n++)
        run_programs(n * 3 - n % 2);
    end(0x20026);
}

extern uint32_t __stack_top[];
/* Stack, reset, NMI, hard fault. */
__attribute__((section(".begin"), used)) static void *const vectors[16] = {
    __stack_top,
    (void *)begin,
    (void *)fault,
    (void *)fault,
};
