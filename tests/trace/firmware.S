/* What a PC begins with, in place of a firmware that executes millions of instructions: from the reset vector on into 32-bit
   protected mode, and to what was loaded at 1 MiB. A flat file of 64 KiB below 4 GiB. */
    .set loaded, 0x100000
    .text
    .global start
start:
    .org 0xff00
descriptors:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
descriptors_at:
    .word 23
    .long descriptors
    .code16
real_mode:
    lgdtl %cs:descriptors_at - start
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $8, $protected_mode
    .code32
protected_mode:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $loaded, %eax
    jmp *%eax
    .org 0xfff0
    .code16
    jmp real_mode
    .org 0x10000
