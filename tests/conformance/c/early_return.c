/* Code behind returns, and returns of every kind of statement. */
static volatile int sink;
static int first(int n) {
  if (n < 0) return -1;
  if (n == 0)
    return 0;
  else if (n == 1)
  {
    return 1;
  }
  for (;;) { if (n++ > 3) return n; }
}
static void nothing(int n) { if (n) return; sink++; return; }
static int behind(int n) { return n; sink++; if (n) sink--; return 2; }
static int loops(int n) {
  do { if (n == 3) return 3; n++; } while (n < 9);
  while (1) { return n; }
  return 0;
}
int program(int n) {
  nothing(n);
  { if (n > 100) { { return 7; } } sink++; }
  return first(n) + behind(n) + loops(n);
}
