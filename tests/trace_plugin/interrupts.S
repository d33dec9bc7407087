/* Guests whose clock interrupts them again and again while they count down from TURNS, until that was 20 times: `branch` goes
   back TURNS - 1 times and on once in each round, whatever comes between. `handler` is what an interrupt executes first. */

#if defined(__arm__)

    .syntax unified
    .thumb
    .section .vectors, "a"
    .word __stack_top, begin
    .space 13 * 4 - 4
    .word handler, handler
    .text
    .global begin, handler, branch
    .thumb_func
begin:
    ldr r3, =0xe000e010 /* SysTick */
    ldr r0, =499
    str r0, [r3, #4]
    movs r0, #7
    str r0, [r3]
    movs r7, #0
round:
    ldr r1, =TURNS
again:
    subs r1, r1, #1
branch:
    bne again
    cmp r7, #20
    blt round
    movs r0, #0
    str r0, [r3]
    ldr r1, =0x20026
    movs r0, #0x18
    bkpt 0xab
    b .
    .thumb_func
handler:
    adds r7, r7, #1
    bx lr

#elif defined(__riscv)

    .section .text.start, "ax"
    .global _start, handler, branch
_start:
    la t0, handler
    csrw mtvec, t0
    li s0, 0x02004000 /* when the clock interrupts */
    li s1, 0x0200bff8 /* the clock */
    sd zero, 0(s0)
    li t0, 0x80
    csrw mie, t0
    csrsi mstatus, 8
    li s2, 0
    li s3, 20
round:
    li a1, TURNS
again:
    addi a1, a1, -1
branch:
    bnez a1, again
    bltu s2, s3, round
    csrci mstatus, 8
    li a1, 0x100000
    li a2, 0x5555
    sw a2, 0(a1)
    j .
    .balign 4
handler:
    ld t1, 0(s1)
    addi t1, t1, 200
    sd t1, 0(s0)
    addi s2, s2, 1
    mret

#elif defined(__aarch64__)

    .section .text.start, "ax"
    .global _start, handler, branch
_start:
    adrp x0, vectors
    add x0, x0, :lo12:vectors
    msr vbar_el1, x0
    isb
    mov x19, #0x08000000 /* the interrupts' distributor */
    mov x20, #0x08010000 /* and their interface */
    mov w0, #1
    str w0, [x19]
    str w0, [x20]
    mov w0, #0xff
    str w0, [x20, #4]
    mov w0, #0x40000000
    str w0, [x19, #0x100]
    mov x21, #1000
    msr cntp_tval_el0, x21
    mov x0, #1
    msr cntp_ctl_el0, x0
    msr daifclr, #2
    mov x22, #0
round:
    ldr x1, =TURNS
again:
    subs x1, x1, #1
branch:
    b.ne again
    cmp x22, #20
    b.lo round
    msr daifset, #2
    ldr x0, =0x84000008
    hvc #0
    b .
    .balign 2048
vectors:
    .space 0x280
handler:
    ldr w2, [x20, #12]
    msr cntp_tval_el0, x21
    str w2, [x20, #16]
    add x22, x22, #1
    eret

#elif defined(__i386__)

    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18
    .asciz "Xen"
    .long _start
    .section .text.start, "ax"
    .global _start, handler, branch
    .macro out port, value
    mov $\value, %al
    outb %al, $\port
    .endm
_start:
    mov $__stack_top, %esp
    lgdt gdt_at
    ljmp $8, $1f
1:  mov $handler, %eax
    mov %ax, gate
    movw $8, gate + 2
    movw $0x8e00, gate + 4
    shr $16, %eax
    mov %ax, gate + 6
    lidt idt_at
    out 0x20, 0x11 /* the interrupt controller: from gate 32 on, only the clock */
    out 0x21, 0x20
    out 0x21, 0x04
    out 0x21, 0x01
    out 0x21, 0xfe
    out 0x43, 0x34 /* the clock, every 60 ticks */
    out 0x40, 60
    out 0x40, 0
    xor %ebp, %ebp
    sti
round:
    mov $TURNS, %ecx
again:
    dec %ecx
branch:
    jne again
    cmp $20, %ebp
    jb round
    cli
    mov $0, %eax
    mov $0xf4, %dx
    outl %eax, %dx
    jmp .
handler:
    inc %ebp
    push %eax
    out 0x20, 0x20
    pop %eax
    iret
    .data
    .balign 8
gdt:
    .quad 0, 0x00cf9a000000ffff
gdt_at:
    .word 15
    .long gdt
idt:
    .space 32 * 8
gate:
    .quad 0
idt_at:
    .word 33 * 8 - 1
    .long idt

#endif
