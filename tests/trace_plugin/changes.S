# Code that is replaced: `place` is executed 3 times as it was built, and 5 times with another instruction.
    .section .text.start, "ax"
    .global _start
_start:
    li a1, 3
1:  call place
    addi a1, a1, -1
    bnez a1, 1b
    la a2, other
    lw a3, 0(a2)
    la a2, place
    sw a3, 0(a2)
    fence.i
    li a1, 5
2:  call place
    addi a1, a1, -1
    bnez a1, 2b
    li a1, 0x100000
    li a2, 0x5555
    sw a2, 0(a1)
    j .
    .option norvc
    .balign 4
    .global place
place:
    addi a5, a5, 1
    ret
other:
    addi a6, a6, 1
