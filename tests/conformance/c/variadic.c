/* Functions and macros of any number of arguments. */
#define COUNT_(a, b, c, d, n, ...) n
#define COUNT(...) COUNT_(__VA_ARGS__, 4, 3, 2, 1, 0)
#define SUM(...) sum(COUNT(__VA_ARGS__), __VA_ARGS__)
#define TEST(c, ...) ((c) ? SUM(__VA_ARGS__) : 0)
static int sum(int count, ...) {
  __builtin_va_list args;
  __builtin_va_start(args, count);
  int total = 0;
  while (count-- > 0) { int next = __builtin_va_arg(args, int); total += next > 2 ? next : 2; }
  __builtin_va_end(args);
  return total;
}
int program(int n) { return SUM(n) + SUM(n, 1, 5) + TEST(n > 3, n, n) + TEST(n, TEST(n, 1), SUM(2, 3)); }
