/* hosted: one of two units with the same inline functions. */
#include "shared.h"
int other(int n);
int one(int n) { return between(n, 2, 6) + odd(n); } int two(int n) { return n > 4 ? one(n) : other(n); }
int main(void) { int sum = 0; for (int n = 0; n < 9; n++) sum += two(n) - one(n / 2); return sum == 0; }
