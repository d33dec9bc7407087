// Macros in templates and lambdas, and templates and lambdas in macros.
static volatile int sink;
#define CHECK(c) do { if (!(c)) { sink++; } else { [] { if (sink) sink--; }(); } } while (0)
#define CLAMP(x, lo, hi) ((x) < (lo) ? (lo) : (x) > (hi) ? (hi) : (x))
#define DECLARE(name) template <typename T> static T name(T t) { CHECK(t > 2 && CLAMP(t, 1, 5) > 2); return CLAMP(t, T(0), T(9)); }
DECLARE(first)
DECLARE(second)
DECLARE(never)
template <typename F> int run(F f) { CHECK(f(1) || f(2)); return f(3); }
extern "C" int program(int n) {
  auto f = [&](int x) { CHECK(CLAMP(x, n, 4)); return CLAMP(n, x, 3) && first(x); };
  return run(f) + first(n) + int(first(long(n))) + second(short(n));
}
