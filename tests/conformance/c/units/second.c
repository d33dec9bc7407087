#include "shared.h"
static int local(int n) {
  if (n)
    return 3;
  return 4;
}
int second(int n) {
  int sum = local(n);
  if (n > 1) sum += shared(n - 1);
  return sum;
}
