/* Choices in expressions: nested, on several lines, of nothing, with a missing middle. */
static volatile int sink;
static void up(void) { sink++; }
static void down(void) { sink--; }
static int sign(int n) { return n < 0 ? -1 : n > 0 ? 1 : 0; }
static int grid(int a, int b) {
  return a ? b ? 1
               : 2
           : b ? 3
               : (a + b) ? 4 : 5;
}
int program(int n) {
  n > 2 ? up() : down();
  int x = n ?: 7;
  int *p = n ? &x : (int *)0;
  x += p ? *p : 0;
  x += (n > 1 ? sign : grid == 0 ? sign : sign)(n);
  x += 1 ? n : x;
  x += 0 ? n : (n ? 2 : 3);
  return (x > 3 ? n : x) ? grid(n, x) : grid(x, n) ? 1 : 0;
}
