/* Functions that do not return, and calls that end the program from far within, with something left to be done. */
#include <stdlib.h>

static volatile int sink;

static void last(void) { sink++; }

__attribute__((noreturn)) static void leave(int n) {
  if (n > 3) atexit(last);
  exit(0);
}

static int deep(int n) {
  if (n == 0) leave(sink);
  sink += n;
  int below = deep(n - 1);
  return below + 1;
}

static int checked(int n) {
  if (n > 1000) __builtin_unreachable();
  if (n > 500) abort();
  return n / 2;
}

int main(void) {
  for (int n = 0; n < 3; n++) sink += checked(n * 9);
  return deep(6);
}
