/* Cortex-M3 without an MPU in use: counts at 0x20000000 (mps.ssram23) as fast as it can. */
    .syntax unified
    .thumb
    .text
    .word 0x20100000
    .word start
    .thumb_func
start:
    ldr r0, =0x40004000         /* CMSDK UART 0: transmit enable, then "R\n" */
    movs r1, #1
    str r1, [r0, #8]
    movs r1, #'R'
    str r1, [r0]
    movs r1, #'\n'
    str r1, [r0]
    ldr r0, =0x20000000
    movs r1, #0
1:  adds r1, #1
    str r1, [r0]
    b 1b
