/* One header, included several times with other macros: its lines are those of several functions. */
#define CAT2(a, b) a##_##b
#define CAT(a, b) CAT2(a, b)
#define TYPE int
#define LIMIT 5
#define NAME(n) CAT(int, n)
#include "list.h"
#undef TYPE
#undef LIMIT
#undef NAME
#define TYPE short
#define LIMIT 2
#define NAME(n) CAT(short, n)
#include "list.h"
int program(int n) {
  int a[] = { n, 2, 9 };
  short b[] = { (short)n, 1, 1, 0 };
  return int_sum(a, 3) + short_sum(b, n > 3 ? 4 : n);
}
