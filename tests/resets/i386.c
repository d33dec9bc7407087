/* A PC, in the 32-bit mode that QEMU's PVH entry leaves it in. */
#include "guest.h"
#include "put.h"

struct kept *const KEPT = (struct kept *)0x400000;

static void out(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }

void put(char byte) { out(0x3f8, (uint8_t)byte); }

void wait(void) { __asm__ volatile("pause"); }

#ifndef BY_HOST
static void triple_fault(void) {
    static const struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) none = {0, 0};
    __asm__ volatile("lidt %0; int3" ::"m"(none));
}
#endif

void reset_machine(uint32_t run) {
    (void)run;
#ifndef BY_HOST
    triple_fault();
#endif
}

int main(void);

static uint8_t stack[16384] __attribute__((aligned(16), used, section(".stack")));

extern uint32_t __bss_start[], __bss_end[];

__attribute__((used)) void begin_here(void) {
    for (uint32_t *to = __bss_start; to < __bss_end;)
        *to++ = 0;
    main();
}

__attribute__((naked, used)) void start(void) {
    __asm__ volatile("mov $stack + 16384, %esp; call begin_here; 1: hlt; jmp 1b");
}

/* XEN_ELFNOTE_PHYS32_ENTRY: where QEMU begins. */
__asm__(".pushsection .note.Xen, \"a\", @note\n"
        ".long 4, 4, 18\n"
        ".asciz \"Xen\"\n"
        ".long start\n"
        ".popsection");
