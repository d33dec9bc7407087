/* Ten tests, each run when its letter comes in on the second serial port; "ran a" goes out on the first. With LABELS all
   run when anything comes in, and each is named by a call before it.

   Behind each line stands which tests reach it: what is compared with the profiles of the tests. */
#include "guest.h"

char next_command(void);

static volatile uint32_t sink;

static void add(uint32_t n) { sink += n; }                                  // abcdefghij
static void twice(uint32_t n) { add(n); add(n); }                           // bdf
static uint32_t rest_of(uint32_t n) { return n % 7; }                       // cg

static void test_a(void) { add(1); }                                        // a
static void test_b(void) { twice(2); }                                      // b
static void test_c(void) { add(rest_of(3)); }                               // c
static void test_d(void) {                                                  // d
    for (uint32_t n = 0; n < 5; n++)                                        // d
        twice(n);                                                           // d
}                                                                           // d
static void test_e(void) {                                                  // e
    if (sink == 0xffffffff)                                                 // e
        twice(1);                                                           // -
    else                                                                    // e
        add(5);                                                             // e
}                                                                           // e
static void test_f(void) { add(1); twice(6); }                              // f
static void test_g(void) { add(rest_of(sink)); }                            // g
static void test_h(void) {                                                  // h
    uint32_t left = 3;                                                      // h
    while (left > 0) {                                                      // h
        add(left);                                                          // h
        left--;                                                             // h
    }                                                                       // h
}                                                                           // h
static void test_i(void) { add(9); }                                        // i
static void test_j(void) { add(10); }                                       // j
static void test_never(void) { twice(11); }                                 // -

static void (*const tests[])(void) = {test_a, test_b, test_c, test_d, test_e, test_f,
                                      test_g, test_h, test_i, test_j, test_never};

#ifdef LABELS
/* Nothing but its entry, where the one who listens has a breakpoint. Not static: compilers may pass the arguments of a
   function that nobody else calls in a way of their own. */
__attribute__((noinline, no_profile_instrument_function)) void label(int number, const char *name) {
    __asm__ volatile("" ::"r"(number), "r"(name) : "memory");
}

static const char *const names[] = {"test a", "test b", "test c", "test d", "test e",
                                    "test f", "test g", "test h", "test i", "test j"};

__attribute__((no_profile_instrument_function)) int main(void) {
    next_command();
    for (uint32_t test = 0; test < 10; test++) {
        label((int)test - 3, names[test]);
        tests[test]();
    }
    label(-4, "");
    test_j();
    label(-5, "bell \a and \xff");
    label(-6, (const char *)0xdfffff00);
    test_j();
    label(-7, 0);
    say("ran all ", 10, " and counted to ", sink);
    for (;;)
        wait();
}
#else
/* Not instrumented: it goes round once more when a test has ended, and nobody can tell whose that is. */
__attribute__((no_profile_instrument_function)) int main(void) {
    for (;;) {
        char command = next_command();
        uint32_t test = (uint32_t)(command - 'a');
        if (test >= 10)
            continue;
        tests[test]();
        say("ran ", test, " and counted to ", sink);
    }
}
#endif
