#include "header.h"
volatile int sink;
#define LOCAL(x) do { if (BOTH(x, sink)) sink++; else if ((x) || sink > 4) sink--; } while (0)
template <typename T> T pick(T a, T b) {
  if (a > b && a != 3)
    return a;
#if 0
  sink = 3;
  if (a) return b;
#endif
  return NEST(a, b, 1) ? MAXOF(a, b) : b;
}
static int sw(int x) {
  switch (x) {
  case 0: return 1;
  case 1:
    sink++;
  case 2: { sink += 2; break; }
  default:
    if (1) sink = 9;
    for (int i = 0; i < x; i++) { if (i == 3) continue; if (i > 5) break; sink += i; }
  }
  while (x-- > 0 || sink < 0) sink++;
  return x;
}
struct S { int v; S() : v(sink ? 1 : 2) {} ~S() { sink++; } int get() const { return v; } };
inline int unused_inline(int x) { return x ? 1 : 2; }
int not_called(int x) { if (x) return 1; else return NEST(x, sink, 1); }
/* é UTF-8: ünïcödé */ int one_line() { return sink ? 1 : 0; } int two(int a) { auto f = [&](int q) { return q && a; }; return f(a) || f(2); }
extern "C" int start(int n) {
  S s;
  LOCAL(n); LOCAL(n - 1);
  int r = pick<int>(n, 2) + (int)pick<long>(n, 7) + (int)pick<unsigned char>(1, 2) + in_header(n);
  r += sw(n) + two(n) + one_line() + s.get();
  return (r > 4 && n < 9) || (r == 2 && NEST(n, r, 5)) ? r : MAXOF(r, n);
}
