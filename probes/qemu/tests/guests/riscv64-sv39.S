/* Supervisor mode under Sv39: 1 GiB at 0x80000000 is mapped there and at 0xffffffc000000000.
 * Counts at 0xffffffc000100000, which is physical 0x80100000. */
    .text
    .globl _start
_start:
    li t0, -1                   /* Physical memory protection: everything is open to supervisor mode. */
    csrw pmpaddr0, t0
    li t0, 0x1f
    csrw pmpcfg0, t0
    la t0, root
    srli t0, t0, 12
    li t1, 8 << 60
    or t0, t0, t1
    csrw satp, t0
    sfence.vma
    li t0, 1 << 11              /* mstatus.MPP = supervisor */
    csrs mstatus, t0
    la t0, supervisor
    csrw mepc, t0
    mret
    .balign 4
supervisor:
    li t0, 0x10000000           /* UART 0 */
    li t1, 'R'
    sb t1, 0(t0)
    li t1, '\n'
    sb t1, 0(t0)
    li t0, 0xffffffc000100000
    li t1, 0
1:  addi t1, t1, 1
    sd t1, 0(t0)
    j 1b

    .balign 4096
root:                           /* 1 GiB leaves: valid, readable, writable, executable, accessed, dirty */
    .quad 0x000000cf            /* 0x00000000: the UART */
    .quad 0
    .quad 0x200000cf            /* 0x80000000 */
    .fill 253, 8, 0
    .quad 0x200000cf            /* 0xffffffc000000000 */
    .fill 255, 8, 0
