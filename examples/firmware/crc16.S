/* uint32_t crc16(const uint8_t *bytes, uint32_t len_bytes): CRC-16/XMODEM, bit by bit. */
    .syntax unified
    .text
    .thumb

    .globl crc16
    .type crc16, %function
    .thumb_func
crc16:
    push {r4, lr}
    mov r2, r0
    movs r0, #0
    movw r4, #0x1021
    cbz r1, empty
byte:
    ldrb r3, [r2], #1
    eor r0, r0, r3, lsl #8
    movs r3, #8
bit:
    lsls r0, r0, #1
    tst r0, #0x10000
    beq no_carry
    eors r0, r4
no_carry:
    subs r3, #1
    bne bit
    uxth r0, r0
    subs r1, #1
    bne byte
    pop {r4, pc}
empty:
    movw r0, #0xffff
    pop {r4, pc}
    .size crc16, . - crc16

/* Nobody calls it. */
    .globl crc16_of_byte
    .type crc16_of_byte, %function
    .thumb_func
crc16_of_byte:
    push {r0, lr}
    mov r0, sp
    movs r1, #1
    bl crc16
    pop {r1, pc}
    .size crc16_of_byte, . - crc16_of_byte
