/* Code of many shapes: loops, tables of jumps, calls through pointers, wide arithmetic, floating point, atomics. */
typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned char u8;

int (*handler)(int);
volatile int device;
u8 table[256];

static int helper(int x) { return x * 3 + device; }

int clamp(int x, int low, int high) { return x < low ? low : x > high ? high : x; }

int choose(int x, int y) {
    switch (x) {
    case 0: return y + 1;
    case 1: return device;
    case 2: device = y; return 3;
    case 3: return y * y;
    case 4: return helper(y);
    case 5: return handler(y);
    case 6: return y >> 3;
    case 7: return ~y;
    case 11: return y / 7;
    default: return -1;
    }
}

u64 mix(u64 a, u64 b) {
    u64 sum = 0;
    for (u32 i = 0; i < 64; i++) {
        if (b >> i & 1)
            sum += a << i;
        if (sum > 1000000007ull)
            sum %= 1000000007ull;
    }
    return sum;
}

float weigh(const float *values, int n) {
    float sum = 0;
    for (int i = 0; i < n; i++)
        if (values[i] > 0.5f)
            sum += values[i] / 3;
    return sum;
}

int search(const u8 *text, int len, u8 wanted) {
    while (len-- > 0)
        if (*text++ == wanted && (device & 4))
            return len;
    return -1;
}

void fill(u8 *to, u8 value, u32 len) {
    while (len--)
        *to++ = value;
}

int nested(int a, int b, int c) {
    int result = 0;
    do {
        if (a && b) {
            if (c > 5)
                result += handler(a);
            else
                result -= b;
        } else if (!c) {
            return result;
        }
        a--;
    } while (a > -10 && result < 1000);
    return result;
}

int far(int x) {
    if (x == 7)
        device = 1;
    return handler ? handler(choose(x, clamp(x, 1, 9))) : 0;
}

int tail(int x) { return choose(x & 7, x); }

void stop(void) { __builtin_trap(); }
