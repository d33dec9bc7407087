# Harts of RISC-V's virt machine that execute `work` a known number of times, 1000 hart 0 and 2000 each other one;
# -DHARTS=N says how many there are.
    .section .text.start, "ax"
    .global _start
_start:
    csrr a0, mhartid
    la a3, ended
    li a1, 1000
    beqz a0, work
    li a1, 2000
work:
    addi a1, a1, -1
    bnez a1, work
    bnez a0, other
    li a4, HARTS - 1
wait:
    lw a2, 0(a3)
    bne a2, a4, wait
    li a1, 0x100000
    li a2, 0x5555
    sw a2, 0(a1)
    j .
other:
    li a2, 1
    amoadd.w zero, a2, (a3)
idle:
    wfi
    j idle
    .data
    .balign 4
ended:
    .word 0
