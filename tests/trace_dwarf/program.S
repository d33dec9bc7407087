/* For RISC-V: the same idea in assembly. */
    .text
    .globl program
    .type program, @function
program:
    li a0, 3
again:
    addi a0, a0, -1
    bnez a0, again
    beqz a0, done
    li a0, 9
done:
    ret
    .size program, . - program
