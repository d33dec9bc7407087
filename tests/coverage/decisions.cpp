#include "header.h"
#define EITHER(a, b) ((a) || (b))
#define WITHIN(a, b, c) (EITHER(a, b) && BOTH(b, c))
#define DECIDE(a, b, c) do { if ((a) && ((b) || (c))) seen++; } while (0)
extern volatile int seen;
volatile int seen;
bool mixed(bool a, bool b, bool c, bool d) { return a && (b || c) && d; }
bool six(bool a, bool b, bool c, bool d, bool e, bool f) { return (a && b) || (c && d) || (e && !f); }
bool nine(int a, int b, int c) {
  return (a > 1 || b > 1 || c > 1) && (a < 9 || b < 9 || c < 9) && (a != b || b != c || a != c);
}
bool nested(bool a, bool b, bool c, bool d) {
  bool r = a && (mixed(a, b, c, d) || six(a, b, c, d, a && b, c || d));
  return r || (b ? c && d : c || d) || [&] { return a && d; }();
}
bool folded(bool a, bool b) {
  if (a && true && b) return EITHER(b, false);
  return (0 && a) || (a || 1);
}
bool macros(bool a, bool b, bool c) {
  DECIDE(a, b, c);
  DECIDE(WITHIN(a, b, c), b && c, EITHER(a, c));
  return WITHIN(a, b, c) || BOTH(c, a) || (a && NEST(a, b, c));
}
template <typename T> bool ordered(T a, T b, T c) {
  while (a < b && (b < c || c == T(3))) b++;
  for (; a < T(2) && b > T(2) && c != a; a++) seen++;
  return a <= b && b <= c ? !(a == b && b == c) : a || c;
}
bool many(const bool *v) {
  return (v[0] || v[1]) && (v[2] || v[3]) && (v[4] || v[5]) && (v[6] || v[7]) && (v[8] || v[9]) && (v[10] || v[11]);
}
bool never(bool a, bool b) { return a && b; }
int decisions(int n) {
  bool a = n & 1, b = n & 2, c = n & 4, d = n & 8;
  bool v[12] = {a, b, c, d};
  int r = mixed(a, b, c, d) + six(a, b, c, d, a, b) + nine(n, n >> 1, n >> 2) + nested(a, b, c, d);
  r += folded(a, b) + macros(a, b, c) + ordered<int>(n, 2, 3) + ordered<unsigned char>(1, 2, 3);
  return r + ordered<long>(n, n, n) + many(v);
}
