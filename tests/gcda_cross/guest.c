/* A guest without an operating system that runs programs and then has libgcov itself say what their counters are worth.

   What leaves is lines on the console:

       gcda NAME HEX   for each object, what libgcov's stream of it has
       rest            from here on no instrumented code runs
       fault           something went wrong

   What always holds: this file is compiled without counters, and the programs have ended before the first line. */
#include <gcov.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __arm__
/* mps2-an385: UART0 (Arm DAI 0385D, section 3.7). */
#define UART_DATA (*(volatile uint32_t *)0x40004000)
#define UART_STATE (*(volatile uint32_t *)0x40004004)
#define UART_CTRL (*(volatile uint32_t *)0x40004008)
enum { UART_STATE_TX_FULL = 1, UART_CTRL_TX_ENABLE = 1 };
static void start(void) { UART_CTRL = UART_CTRL_TX_ENABLE; }
static int is_busy(void) { return UART_STATE & UART_STATE_TX_FULL; }
#else
/* virt: an NS16550. */
#define UART_DATA (*(volatile uint8_t *)0x10000000)
#define UART_STATE (*(volatile uint8_t *)0x10000005)
enum { UART_STATE_TX_EMPTY = 0x20 };
static void start(void) {}
static int is_busy(void) { return !(UART_STATE & UART_STATE_TX_EMPTY); }
#endif

static void put(char byte) {
    while (is_busy()) {
    }
    UART_DATA = (uint8_t)byte;
}

static void print(const char *text) {
    while (*text)
        put(*text++);
}

static _Noreturn void rest(void) {
    for (;;)
        __asm__ volatile("wfi");
}

__attribute__((used, aligned(4))) static void fault(void) {
    print("fault\n");
    rest();
}

/* What compilers call by themselves. */
__attribute__((used)) void *memset(void *to, int byte, size_t len) {
    volatile char *t = to;
    while (len--)
        *t++ = (char)byte;
    return to;
}

__attribute__((used)) void *memcpy(void *to, const void *from, size_t len) {
    volatile char *t = to;
    for (const char *f = from; len--;)
        *t++ = *f++;
    return to;
}

__attribute__((used)) _Noreturn void abort(void) {
    fault();
    rest();
}

static void print_name(const char *name, void *arg) {
    (void)arg;
    print("gcda ");
    print(name);
    put(' ');
}

static void print_bytes(const void *bytes, unsigned len, void *arg) {
    (void)arg;
    for (const uint8_t *byte = bytes; len--; byte++) {
        put("0123456789abcdef"[*byte >> 4]);
        put("0123456789abcdef"[*byte & 15]);
    }
}

/* For lists of values, which no program here has. */
static void *allocate(unsigned len, void *arg) {
    (void)len, (void)arg;
    abort();
}

/* From guest.x. */
extern const struct gcov_info *const __gcov_info_start[], *const __gcov_info_end[];
extern void (*const __init_start[])(void), (*const __init_end[])(void);

/* Made for each build: calls every program. */
void run_programs(int n);

__attribute__((used)) _Noreturn static void begin(void) {
    start();
    for (void (*const *init)(void) = __init_start; init < __init_end; init++)
        (*init)();
    for (int n = 0; n < 4; n++)
        run_programs(n * 3 - n % 2);
    for (const struct gcov_info *const *info = __gcov_info_start; info < __gcov_info_end; info++) {
        __gcov_info_to_gcda(*info, print_name, print_bytes, allocate, NULL);
        put('\n');
    }
    print("rest\n");
    rest();
}

#ifdef __arm__
extern uint32_t __stack_top[];
/* Stack, reset, NMI, hard fault. */
__attribute__((section(".begin"), used)) static void *const vectors[16] = {
    __stack_top,
    (void *)begin,
    (void *)fault,
    (void *)fault,
};
#else
__asm__(".section .begin, \"ax\"\n"
        "    .option arch, +zicsr\n"
        "    la sp, __stack_top\n"
        "    la t0, fault\n"
        "    csrw mtvec, t0\n"
        "    j begin\n"
        "    .text\n");
#endif
