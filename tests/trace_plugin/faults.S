// A block that a fault ends early: what stands behind `fault` is never executed.
    .syntax unified
    .thumb
    .section .vectors, "a"
    .word __stack_top, begin, hard_fault, hard_fault
    .text
    .global begin, fault, behind
    .thumb_func
begin:
    movs r0, #1
    movs r1, #0x70
    lsls r1, r1, #24
fault:
    ldr r2, [r1]
behind:
    adds r0, r0, #1
    adds r0, r0, #1
    b .
    .thumb_func
hard_fault:
    ldr r1, =0x20026
    movs r0, #0x18
    bkpt 0xab
    b .
