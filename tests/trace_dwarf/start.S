/* Where each machine begins and ends; between the two, `program` runs once. */
#if defined(__x86_64__)
    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18
    .asciz "Xen"
    .long _start
    .section .bss
    .balign 4096
page_map: .skip 4096
page_directory_pointers: .skip 4096
page_directory: .skip 4096
    .section .rodata
    .balign 8
/* Flat segments: 64-bit code (8), data (16). */
segments: .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
segments_end:
segment_table: .word segments_end - segments - 1
    .long segments
    .section .text.start, "ax"
    .code32
    .globl _start
_start:
    movl $page_directory_pointers + 3, page_map
    movl $page_directory + 3, page_directory_pointers
    movl $0x83, %eax
    movl $page_directory, %edi
    movl $512, %ecx
1:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 1b
    /* CR4: PAE. EFER: long mode. CR0: paging, protection. */
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    movl $page_map, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80000001, %eax
    movl %eax, %cr0
    lgdt segment_table
    ljmp $8, $2f
    .code64
2:  movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $__stack_top, %esp
    call program
    movw $0xf4, %dx
3:  outl %eax, %dx
    jmp 3b
#elif defined(__thumb__)
    .syntax unified
    .thumb
    .section .vectors, "a"
    .word __stack_top, begin
    .text
    .thumb_func
    .type begin, %function
begin:
    bl program
    movs r0, #0x18
    ldr r1, =0x20026
    bkpt #0xab
    b .
#elif defined(__arm__)
    .section .text.start, "ax"
    .globl _start
_start:
    ldr sp, =__stack_top
    bl program
    mov r0, #0x18
    ldr r1, =0x20026
    svc #0x123456
    b .
#elif defined(__aarch64__)
    .section .text.start, "ax"
    .globl _start
_start:
    adrp x0, __stack_top
    add x0, x0, :lo12:__stack_top
    mov sp, x0
    bl program
    ldr w0, =0x84000008
    hvc #0
    b .
#elif defined(__riscv)
    .section .text.start, "ax"
    .globl _start
_start:
    la sp, __stack_top
    call program
    li a0, 0x5555
    li a1, 0x100000
1:  sw a0, 0(a1)
    j 1b
#endif
