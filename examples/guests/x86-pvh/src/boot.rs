//! From QEMU's PVH entry, 32-bit protected mode without paging, to `main` in long mode.
//!
//! What always holds when `main` begins: .bss and the coverage counters are zero, the first GiB is mapped to
//! itself, SSE is on (the host target's `core` uses it), interrupts are off.

use core::arch::global_asm;

// Xen's PHYS32_ENTRY note (type 18): where QEMU enters.
global_asm!(
    ".section .note.pvh,\"a\",@note",
    ".balign 4",
    ".long 4, 4, 18",
    ".asciz \"Xen\"",
    ".long _start",
);

global_asm!(
    ".section .bss.boot,\"aw\",@nobits",
    ".balign 4096",
    "page_map: .skip 4096",
    "page_directory_pointers: .skip 4096",
    "page_directory: .skip 4096",
    // Flat segments: 64-bit code (8), data (16).
    ".section .rodata.boot,\"a\"",
    ".balign 8",
    "segments: .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff",
    "segments_end:",
    "segment_table: .word segments_end - segments - 1",
    ".long segments",
);

global_asm!(
    ".section .text.boot,\"ax\"",
    ".code32",
    ".global _start",
    "_start:",
    "cld",
    // Zero .bss and the counters.
    "mov edi, offset __bss_start",
    "mov ecx, offset __bss_end",
    "sub ecx, edi",
    "xor eax, eax",
    "rep stosb",
    // 512 pages of 2 MiB: present, writable, large.
    "mov eax, offset page_directory_pointers + 3",
    "mov [page_map], eax",
    "mov eax, offset page_directory + 3",
    "mov [page_directory_pointers], eax",
    "mov eax, 0x83",
    "mov edi, offset page_directory",
    "mov ecx, 512",
    "1: mov [edi], eax",
    "add eax, 0x200000",
    "add edi, 8",
    "loop 1b",
    // CR4: PAE, OSFXSR and OSXMMEXCPT.
    "mov eax, cr4",
    "or eax, 0x620",
    "mov cr4, eax",
    "mov eax, offset page_map",
    "mov cr3, eax",
    // EFER: long mode.
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 0x100",
    "wrmsr",
    // CR0: paging, protection.
    "mov eax, cr0",
    "or eax, 0x80000001",
    "mov cr0, eax",
    "lgdt [segment_table]",
    "mov esp, offset __stack_top",
    "push 8",
    "lea eax, [2f]",
    "push eax",
    "retf",
    ".code64",
    "2: mov ax, 16",
    "mov ds, ax",
    "mov es, ax",
    "mov ss, ax",
    // Again, because now it clears the upper half of rsp.
    "mov esp, offset __stack_top",
    "call main",
    "ud2",
);
