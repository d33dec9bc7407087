/* Where a Cortex-M begins: its vectors, and memory as C wants it. */
    .syntax unified

    .section .vectors, "a"
    .word __stack_top
    .word reset

    .text
    .thumb
    .globl reset
    .type reset, %function
    .thumb_func
reset:
    ldr r0, =__data_start
    ldr r1, =__data_end
    ldr r2, =__data_load
copy:
    cmp r0, r1
    bhs copied
    ldr r3, [r2], #4
    str r3, [r0], #4
    b copy
copied:
    ldr r0, =__bss_start
    ldr r1, =__bss_end
    movs r3, #0
zero:
    cmp r0, r1
    bhs zeroed
    str r3, [r0], #4
    b zero
zeroed:
    bl run
    .size reset, . - reset
