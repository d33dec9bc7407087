/* Where the boards begin whose programs are loaded into RAM: their memory is cleared, as at each reset. A board that has
 * more to do first says it with SET_UP. */
#ifndef SET_UP
#define SET_UP()
#endif

int main(void);

__attribute__((used)) static uint8_t stack[16384] __attribute__((aligned(16), section(".stack")));

extern uint32_t __bss_start[], __bss_end[];

__attribute__((used)) void begin_here(void) {
    for (uint32_t *to = __bss_start; to < __bss_end;)
        *to++ = 0;
    SET_UP();
    main();
}
