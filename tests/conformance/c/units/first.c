#include "shared.h"
static int local(int n) { return n > 2 ? 1 : 2; }
int second(int n);
int program(int n) {
  return local(n) + second(n) + shared(n) + COUNT(n);
}
