/* x86-64 from a PVH entry point. Identity-mapped below 64 MiB, and:
 *   0xffffffff80000000  2 MiB  ->  0x200000
 *   0xffffffff80200000  1 MiB  ->  0x400000, page by page in reverse order
 * The page after those is not mapped. Counts at 0xffffffff80000000, which is physical 0x200000. */
    .section .note.pvh, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long _start

    .section .rodata, "a"
    .balign 8
gdt:
    .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
gdtr:
    .word 23
    .long gdt

    .data
    .balign 4096
pml4:       .quad pdpt_low + 3
            .fill 510, 8, 0
            .quad pdpt_high + 3
pdpt_low:   .quad pd_low + 3
            .fill 511, 8, 0
pdpt_high:  .fill 510, 8, 0
            .quad pd_high + 3, 0
pd_low:
    .set addr, 0
    .rept 32
    .quad addr + 0x83
    .set addr, addr + 0x200000
    .endr
    .fill 480, 8, 0
pd_high:    .quad 0x200083, pt_reverse + 3
            .fill 510, 8, 0
pt_reverse:
    .set addr, 0x4ff000
    .rept 256
    .quad addr + 3
    .set addr, addr - 0x1000
    .endr
    .fill 256, 8, 0

    .text
    .code32
    .globl _start
_start:
    movl %cr4, %eax
    orl $0x20, %eax             /* PAE */
    movl %eax, %cr4
    movl $pml4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx      /* EFER: long mode */
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80000001, %eax
    movl %eax, %cr0
    lgdt gdtr
    ljmp $8, $long_mode
    .code64
long_mode:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movw $0x3f8, %dx
    movb $'R', %al
    outb %al, %dx
    movb $'\n', %al
    outb %al, %dx
    movq $0xffffffff80000000, %rdi
    xorl %eax, %eax
1:  incq %rax
    movq %rax, (%rdi)
    jmp 1b
