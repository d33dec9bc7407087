#include "shared.h"
int other(int n) {
  if (odd(n)) return high(n, 3);
  return between(n, 0, 1);
}
