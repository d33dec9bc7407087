# Two harts of RISC-V's virt machine that go round for ever, each in a function of its own.
    .section .text.start, "ax"
    .global _start
    .type _start, @function
_start:
    csrr a0, mhartid
    beqz a0, first
    j second
    .size _start, . - _start
    .text
    .type first, @function
first:
    addi a1, a1, 1
    andi a2, a1, 1
    bnez a2, first
    addi a3, a3, 1
    j first
    .size first, . - first
    .type second, @function
second:
    addi a1, a1, 1
    andi a2, a1, 3
    bnez a2, second
    addi a3, a3, 1
    j second
    .size second, . - second
    .type never, @function
never:
    addi a1, a1, 1
    ret
    .size never, . - never
