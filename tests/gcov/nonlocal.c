#include <setjmp.h>
#include <stdlib.h>

static jmp_buf back;
static volatile int sink;

static void leap(int n) {
  if (n % 3 == 0) longjmp(back, n + 1);
  sink = n;
}

static int landed(int n) {
  int from = setjmp(back);
  if (from) return from;
  leap(n);
  return 0;
}

static void never(int n) {
  while (n) sink = n--;
}

int program(int n) {
  for (int i = 0; i < n; i++) sink += landed(i);
  if (n > 100) never(n);
  return sink;
}

int main(void) {
  for (int n = 0; n < 9; n++) {
    sink += program(n);
    if (n == 7) exit(0);
  }
  abort();
}
