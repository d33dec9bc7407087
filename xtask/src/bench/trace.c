/* A guest on RISC-V's virt machine that does work of several kinds, ROUNDS times, and ends. */

typedef unsigned int u32;

static u32 seed = 1;
/* On a page without code: QEMU is slow where code and what is written share one, which would hide what tracing costs. */
static u32 numbers[512] __attribute__((aligned(4096)));
static volatile u32 sink;

static u32 next(void) {
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

/* Branches that are hard to foresee, in small blocks. */
static void sort(void) {
    for (int i = 1; i < 512; i++)
        for (int j = i; j > 0 && numbers[j - 1] > numbers[j]; j--) {
            u32 other = numbers[j];
            numbers[j] = numbers[j - 1];
            numbers[j - 1] = other;
        }
}

/* Long blocks. */
static u32 mix(u32 a) {
    u32 b = a * 0x9e3779b1u, c = b ^ (b >> 15), d = c * 0x85ebca77u, e = d ^ (d >> 13);
    u32 f = e * 0xc2b2ae3du, g = f ^ (f >> 16), h = (g << 7) | (g >> 25), k = h + a * 31;
    return k ^ (k >> 11) ^ (k << 3);
}

static u32 add(u32 a, u32 b) { return a + b; }
static u32 sub(u32 a, u32 b) { return a - b; }
static u32 xor(u32 a, u32 b) { return a ^ b; }
static u32 (*const operations[])(u32, u32) = {add, sub, xor};

/* Calls by pointers, and a loop of bits. */
static u32 check(void) {
    u32 sum = 0;
    for (int i = 0; i < 512; i++) {
        sum = operations[numbers[i] % 3](sum, mix(numbers[i]));
        for (int bit = 0; bit < 8; bit++)
            sum = sum & 1 ? (sum >> 1) ^ 0xedb88320u : sum >> 1;
    }
    return sum;
}

void begin(void) {
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 512; i++)
            numbers[i] = next();
        sort();
        for (int i = 0; i < 20; i++)
            sink = check();
    }
    for (;;)
        *(volatile u32 *)0x100000 = 0x5555;
}

__asm__(".section .text.start,\"ax\"\n.global _start\n_start: la sp, __stack_top\nj begin\n");
