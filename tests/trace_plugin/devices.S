/* Guests that reach devices and fault in the midst of blocks, 50 times, and go on behind each fault: at `behind` a branch leads
   to right behind an access, and instructions that make several accesses do so. */

#if defined(__arm__)

    .syntax unified
    .thumb
    .section .vectors, "a"
    .word __stack_top, begin, faulted, faulted
    .text
    .global begin, fault, behind
    .thumb_func
begin:
    ldr r3, =0x40004000 /* a UART */
    ldr r6, =0x70000000 /* nothing */
    movs r0, #0
    movs r7, #50
again:
    movs r1, #3
    adds r0, r0, #1
    ldr r2, [r3, #4]
behind:
    subs r1, r1, #1
    bne behind
    adds r0, r0, #1
    ldm r3, {r4, r5}
    adds r0, r0, #1
    ldr.w r2, [r3, #4]
    cmp r0, #0
    beq again
    ite ne
    ldrne r2, [r3, #4]
    moveq r2, #0
    push {r0, r2}
    adds r0, r0, #1
    pop {r4, r5}
    str r4, [r3]
    adds r0, r0, #1
fault:
    ldr.n r2, [r6]
    adds r0, r0, #1
    ldr r2, [r3, #4]
    udiv r2, r0, r7
    subs r7, r7, #1
    bne again
    ldr r1, =0x20026
    movs r0, #0x18
    bkpt 0xab
    b .
    .thumb_func
faulted:
    ldr r0, [sp, #24]
    adds r0, r0, #2
    str r0, [sp, #24]
    bx lr

#elif defined(__riscv)

    .section .text.start, "ax"
    .global _start, fault, behind
_start:
    j begin
    .text
    .balign 4
faulted:
    csrr t1, mepc
    addi t1, t1, 4
    csrw mepc, t1
    mret
begin:
    la t0, faulted
    csrw mtvec, t0
    la sp, __stack_top
    li s0, 0x10000000 /* a UART */
    li s1, 0x0200bff8 /* the time */
    li s2, 0x70000000 /* nothing */
    li s3, 50
again:
    li a1, 3
    addi a0, a0, 1
    lbu a2, 5(s0)
behind:
    addi a1, a1, -1
    bnez a1, behind
    addi a0, a0, 1
    ld a2, 0(s1)
    addi a0, a0, 1
    lw a2, 0(s1)
    beqz a0, again
    sd a0, -8(sp)
    addi a0, a0, 1
    sb zero, 7(s0)
    ld a3, -8(sp)
    addi a0, a0, 1
fault:
    .option push
    .option norvc
    lw a2, 0(s2)
    .option pop
    addi a0, a0, 1
    lbu a2, 5(s0)
    addi s3, s3, -1
    bnez s3, again
    li a1, 0x100000
    li a2, 0x5555
    sw a2, 0(a1)
    j .

#elif defined(__aarch64__)

    .section .text.start, "ax"
    .global _start, fault, behind
_start:
    adrp x0, vectors
    add x0, x0, :lo12:vectors
    msr vbar_el1, x0
    isb
    ldr x1, =__stack_top
    mov sp, x1
    mov x19, #0x09000000 /* a UART */
    mov x20, #0x09010000 /* a clock */
    mov x21, #0x70000000 /* nothing */
    mov x22, #50
again:
    mov x1, #3
    add x0, x0, #1
    ldr w2, [x19, #0x18]
behind:
    subs x1, x1, #1
    b.ne behind
    add x0, x0, #1
    ldp w2, w3, [x19, #0x18]
    add x0, x0, #1
    ldr w2, [x20]
    cbz x0, again
    str x0, [sp, #-16]!
    add x0, x0, #1
    str w2, [x19, #0x38]
    ldr x3, [sp], #16
    add x0, x0, #1
fault:
    ldr w2, [x21]
    add x0, x0, #1
    ldr w2, [x19, #0x18]
    sub x22, x22, #1
    cbnz x22, again
    ldr x0, =0x84000008
    hvc #0
    b .
    .balign 2048
vectors:
    .space 0x200
    mrs x5, elr_el1
    add x5, x5, #4
    msr elr_el1, x5
    eret

#elif defined(__i386__)

    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18
    .asciz "Xen"
    .long _start
    .section .text.start, "ax"
    .global _start, fault, behind
_start:
    jmp begin
    .text
faulted:
    addl $2, (%esp)
    iret
begin:
    mov $__stack_top, %esp
    lgdt gdt_at
    ljmp $8, $1f
1:  mov $faulted, %eax
    mov %ax, idt
    movw $8, idt + 2
    movw $0x8e00, idt + 4
    shr $16, %eax
    mov %ax, idt + 6
    lidt idt_at
    mov $0xfec00000, %ebx /* the interrupt controller */
    mov $50, %ebp
again:
    mov $3, %ecx
    inc %eax
    mov (%ebx), %edx
behind:
    dec %ecx
    jne behind
    inc %eax
    addl $0, (%ebx)
    inc %eax
    pushl (%ebx)
    pop %edx
    test %eax, %eax
    je again
    mov %ebx, %esi
    mov $scratch, %edi
    movsl
    inc %eax
    mov %edx, (%ebx)
    xor %edx, %edx
fault:
    div %ecx
    inc %eax
    mov (%ebx), %edx
    dec %ebp
    jne again
    mov $0, %eax
    mov $0xf4, %dx
    outl %eax, %dx
    jmp .
    .data
    .balign 8
gdt:
    .quad 0, 0x00cf9a000000ffff
gdt_at:
    .word 15
    .long gdt
idt:
    .quad 0
idt_at:
    .word 7
    .long idt
scratch:
    .long 0

#endif
