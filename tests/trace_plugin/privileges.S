/* Guests that call `shared` 3 times with privilege, and 5 times without it. */

#if defined(__arm__)

    .syntax unified
    .thumb
    .section .vectors, "a"
    .word __stack_top, begin
    .space 9 * 4
    .word back
    .text
    .global begin, shared
    .thumb_func
begin:
    movs r4, #3
1:  bl shared
    subs r4, r4, #1
    bne 1b
    movs r0, #1
    msr control, r0
    isb
    movs r4, #5
1:  bl shared
    subs r4, r4, #1
    bne 1b
    svc #0
    b .
    .thumb_func
back:
    ldr r1, =0x20026
    movs r0, #0x18
    bkpt 0xab
    b .
    .thumb_func
shared:
    adds r5, r5, #1
    bx lr

#elif defined(__riscv)

    .section .text.start, "ax"
    .global _start, shared
_start:
    la t0, back
    csrw mtvec, t0
    li t0, -1
    csrw pmpaddr0, t0
    li t0, 0x1f
    csrw pmpcfg0, t0
    li s1, 3
1:  call shared
    addi s1, s1, -1
    bnez s1, 1b
    li t0, 0x1800
    csrc mstatus, t0
    la t0, 1f
    csrw mepc, t0
    mret
1:  li s1, 5
1:  call shared
    addi s1, s1, -1
    bnez s1, 1b
    ecall
    .balign 4
back:
    li a1, 0x100000
    li a2, 0x5555
    sw a2, 0(a1)
    j .
    .balign 4
shared:
    addi a0, a0, 1
    ret

#elif defined(__aarch64__)

    .section .text.start, "ax"
    .global _start, shared
_start:
    adrp x0, vectors
    add x0, x0, :lo12:vectors
    msr vbar_el1, x0
    mov x19, #3
1:  bl shared
    subs x19, x19, #1
    b.ne 1b
    adr x0, 1f
    msr elr_el1, x0
    msr spsr_el1, xzr
    eret
1:  mov x19, #5
1:  bl shared
    subs x19, x19, #1
    b.ne 1b
    svc #0
    b .
shared:
    add x1, x1, #1
    ret
    .balign 2048
vectors:
    .space 0x400
    ldr x0, =0x84000008
    hvc #0
    b .

#elif defined(__i386__)

    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18
    .asciz "Xen"
    .long _start
    .section .text.start, "ax"
    .global _start, shared
_start:
    mov $__stack_top, %esp
    mov $tss, %eax
    mov %ax, tss_at + 2
    shr $16, %eax
    mov %al, tss_at + 4
    lgdt gdt_at
    ljmp $8, $1f
1:  mov $back, %eax
    mov %ax, idt
    movw $8, idt + 2
    movw $0xee00, idt + 4
    shr $16, %eax
    mov %ax, idt + 6
    lidt idt_at
    mov $0x28, %ax
    ltr %ax
    mov $3, %ecx
1:  call shared
    dec %ecx
    jne 1b
    pushl $0x23
    pushl $user_stack
    pushl $2
    pushl $0x1b
    pushl $1f
    iret
1:  mov $5, %ecx
1:  call shared
    dec %ecx
    jne 1b
    int $0
back:
    mov $0, %eax
    mov $0xf4, %dx
    outl %eax, %dx
    jmp .
shared:
    inc %ebx
    ret
    .data
    .balign 8
gdt:
    .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00cffa000000ffff, 0x00cff2000000ffff
tss_at:
    .quad 0x0000890000000067
gdt_at:
    .word 47
    .long gdt
idt:
    .quad 0
idt_at:
    .word 7
    .long idt
tss:
    .long 0, __stack_top, 0x10
    .space 92
    .space 64
user_stack:

#endif
