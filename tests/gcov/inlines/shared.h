/* Functions that each unit has a copy of, several on a line. */
static inline int low(int a, int b) { return a < b ? a : b; } static inline int high(int a, int b) { return a > b ? a : b; }
static inline __attribute__((always_inline)) int between(int n, int a, int b) { return low(high(n, a), b); }
static inline int odd(int n) { if (n & 1) return 1; return 0; }
