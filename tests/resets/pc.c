/* A PC, in the 32-bit mode that QEMU's PVH entry leaves it in, or in the 64-bit one. */
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
        uintptr_t base;
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

#include "start.h"

#ifdef __x86_64__
/* 512 pages of 2 MiB that are where they are, and flat segments: code, data. */
__asm__(".pushsection .stack, \"aw\"\n"
        ".balign 4096\n"
        "page_map: .quad page_directory_pointers + 3\n"
        ".balign 4096\n"
        "page_directory_pointers: .quad page_directory + 3\n"
        ".balign 4096\n"
        "page_directory:\n"
        ".set page, 0x83\n"
        ".rept 512\n"
        ".quad page\n"
        ".set page, page + 0x200000\n"
        ".endr\n"
        "segments: .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff\n"
        "segment_table: .word 23\n"
        ".long segments\n"
        ".popsection\n"
        ".pushsection .text.start, \"ax\"\n"
        ".code32\n"
        ".globl start\n"
        "start: mov %cr4, %eax\n"
        "or $0x20, %eax\n" /* PAE */
        "mov %eax, %cr4\n"
        "mov $page_map, %eax\n"
        "mov %eax, %cr3\n"
        "mov $0xc0000080, %ecx\n" /* EFER: long mode */
        "rdmsr\n"
        "or $0x100, %eax\n"
        "wrmsr\n"
        "mov %cr0, %eax\n"
        "or $0x80000001, %eax\n" /* paging, protection */
        "mov %eax, %cr0\n"
        "lgdt segment_table\n"
        "ljmp $8, $1f\n"
        ".code64\n"
        "1: mov $16, %ax\n"
        "mov %ax, %ds\n"
        "mov %ax, %es\n"
        "mov %ax, %ss\n"
        "mov $stack + 16384, %esp\n"
        "call begin_here\n"
        "2: hlt\n"
        "jmp 2b\n"
        ".popsection");
#else
__attribute__((naked, used)) void start(void) {
    __asm__ volatile("mov $stack + 16384, %esp; call begin_here; 1: hlt; jmp 1b");
}
#endif

/* XEN_ELFNOTE_PHYS32_ENTRY: where QEMU begins. */
__asm__(".pushsection .note.Xen, \"a\", @note\n"
        ".long 4, 4, 18\n"
        ".asciz \"Xen\"\n"
        ".long start\n"
        ".popsection");
