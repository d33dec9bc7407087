/* Functions that a linker or the compiler drops: they are in the mapping and have no counters. */
static volatile int sink;
static int unused_static(int n) { return n > 1 ? n : 0; }
static inline int unused_inline(int n) { if (n) sink++; return n; }
int unused_global(int n) { for (int i = 0; i < n; i++) sink++; return n; }
__attribute__((weak)) int weak(int n) { return n && sink; }
extern inline __attribute__((gnu_inline)) int elsewhere(int n) { return n ? 1 : 2; }
static int only_from_unused(int n) { return n || sink; }
int calls_unused(int n) { return only_from_unused(n) + unused_global(n); }
__attribute__((noinline)) static int used(int n) { return n && sink; }
__attribute__((no_profile_instrument_function)) int not_instrumented(int n) { return n ? 1 : 2; }
int program(int n) { return used(n) + not_instrumented(n) + weak(n); }
