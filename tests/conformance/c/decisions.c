/* Decisions of many conditions, for MC/DC: nested, negated, through macros, on several lines, in loops. */
static volatile int sink;
#define IN(x, a, b) ((x) >= (a) && (x) <= (b))
static int f(int x) { return x > 1; }
static int two(int a, int b) { if (a && b) return 1; return 0; }
static int six(int a, int b, int c, int d, int e, int g) {
  if ((a && b) || (c && !d) || (e && g))
    return 1;
  return 0;
}
static int nested(int a, int b, int c) { if (a && f(b && c) && (b || c)) return 1; return 0; }
static int several(int a, int b) { return (a && b) + (a || b) + !(a || !b); }
static int chars(int c) { return IN(c, '0', '9') || IN(c, 'a', 'f') || IN(c, 'A', 'F'); }
static int shape(int a, int b, int c) {
  return a
      ? b && c
      : b || c;
}
static int constants(int a, int b) { if (1 && a && b) return 1; if (a || 0 || b) return 2; return a && 1; }
int program(int n) {
  int r = 0;
  for (int i = 0; i < n && r < 40; i++) r += two(i, i & 1) + six(i, i & 1, i & 2, i & 4, n, 0);
  while (r > 30 && (n || r > 31)) r--;
  do r++; while (r < 3 || (r < 5 && n));
  int x = n > 1 && r, y = (n || r) && (x = n, x);
  switch (n && r) { case 1: r++; }
  return r + nested(n, x, y) + several(x, n) + chars(n + '0') + chars('g') + shape(n, x, y) + constants(n, x);
}
