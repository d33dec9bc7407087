/* Text of other files in the middle of functions and of expressions. */
static volatile int sink;
int program(int n) {
  int r = 0;
#include "body.inc"
  if (n > 1) {
#include "body.inc"
  }
  int table[] = {
#define ENTRY(name, value) ((value) > n ? (value) : n),
#include "table.inc"
#undef ENTRY
  };
  return r + table[0] + table[1] +
#include "expression.inc"
      ;
}
#define ENTRY(name, value) static int name(int x) { return x && value; }
#include "table.inc"
