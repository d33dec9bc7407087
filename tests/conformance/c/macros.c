/* Macros in macros, in arguments, as whole functions and as parts of conditions. */
static volatile int sink;
#define MAXOF(a, b) ((a) > (b) ? (a) : (b))
#define BOTH(a, b) ((a) && (b))
#define NEST(a, b, c) (BOTH(a, b) ? MAXOF(a, c) : MAXOF(b, c))
#define TWICE(x) x, x
#define FUNCTION(name, op) \
  static int name(int a, int b) { \
    if (a op b) \
      return a; \
    return b; \
  }
FUNCTION(larger, >)
FUNCTION(smaller, <)
#define BEGIN {
#define END }
#define IF_POSITIVE if (n > 0) BEGIN
#define CALL(f, ...) f(__VA_ARGS__)
#define RETURN_IF(c, v) do { if (c) return (v); } while (0)
#define EMPTY
#define ALIAS MAXOF
static int returns(int n) {
  RETURN_IF(n > 5, 5);
  RETURN_IF(n < 0 || n == 3, MAXOF(n, -1));
  return n EMPTY;
}
int program(int n) {
  int a = MAXOF(MAXOF(n, 1), MAXOF(2, n - 1));
  IF_POSITIVE
    sink += NEST(n, a, NEST(a, n, 1));
  END
  a += CALL(larger, TWICE(n)) + CALL(smaller, n, MAXOF(n, 3));
  a += ALIAS(a, n);
  while (BOTH(n-- > 0, MAXOF(n, 2) < 9)) sink++;
  return a + returns(a) + returns(n);
}
