/* Conditions that are not always reached to their end, as statements, arguments, initialisers and results. */
static volatile int sink;
static int yes(int x) { sink += x; return 1; }
static int no(int x) { sink -= x; return 0; }
static int both(int a, int b) { return a && b; }
static int mixed(int a, int b, int c) { return (a || b) && (b || !c) && !(a && c); }
static int lines(int a, int b, int c) {
  return a
      && (b
          || c)
      && !a;
}
int program(int n) {
  int x = n && yes(n), y = !n || no(n);
  n > 1 && yes(1);
  n > 1 || no(1);
  if (yes(n) && no(n) || yes(x) && (no(y) || x)) sink++;
  if (!(x || y)) sink--; else if (x && y && n) sink += 2;
  sink += both(x && y, x || y) + mixed(x, y, n) + mixed(n, x, y) + lines(x, y, n);
  while (n-- > 0 && (x || y)) if (n == 3 && x) y = 0;
  return (1 && n) || (0 || x) || (n && 0) || (1 || y);
}
