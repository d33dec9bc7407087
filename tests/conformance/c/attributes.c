/* What a compiler is told about code. */
static volatile int sink;
__attribute__((noreturn, noinline)) static void stop(void) { for (;;) sink++; }
__attribute__((constructor)) static void before(void) { sink = 1; }
__attribute__((always_inline)) static inline int inlined(int n) { return n ? sink : 1; }
__attribute__((cold)) static int cold(int n) { if (n > 1000) stop(); return n; }
__attribute__((const)) static int pure(int n) { return n > 0 ? n : -n; }
static int hinted(int n) {
  if (__builtin_expect(n > 2, 0)) return 1;
  if (__builtin_expect(!!(n && sink), 1)) return 2;
  switch (n) { case 0: return 3; case 1: case 2: return 4; default: __builtin_unreachable(); }
}
static int assumes(int n) { if (n < -50) __builtin_unreachable(); if (n < -60) __builtin_trap(); return n; }
int program(int n) { return inlined(n) + cold(n) + pure(n) + hinted(n) + assumes(n); }
