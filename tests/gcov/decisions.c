/* Decisions of several conditions: nested, negated, in loops and in arguments, and more than a word has bits for. */
static volatile int sink;

static int pick(int a, int b) { return a && b ? a : a || b; }

static int several(int a, int b, int c) {
  int r = 0;
  if ((a && b) || (b && c) || !(a || c)) r++;
  if (a > 0 && (b > 0 || (c > 0 && a != c))) r += 2;
  while (a-- > 0 && (b < 5 || c)) r += pick(a && c, b || a) ? 1 : 3;
  for (int i = 0; i < b && !(i == c && a < 0); i++) r += (i & 1) && (a | b);
  return a || (b && (c || r)) ? r : -r;
}

#define E8(b) ((n >> (b)) & 1) && ((n >> (b + 1)) & 1) && ((n >> (b + 2)) & 1) && ((n >> (b + 3)) & 1) \
  && ((m >> (b)) & 1) && ((m >> (b + 1)) & 1) && ((m >> (b + 2)) & 1) && ((m >> (b + 3)) & 1)

static int wide(int n, int m) {
  int r = 0;
  if (E8(0) && E8(4) && E8(8) && E8(12)) r = 1;
  if (E8(0) && E8(4) && E8(8) && E8(12) && E8(16) && E8(20) && E8(24) && E8(28) && (n || m)) r |= 2;
  return r;
}

static int never(int a, int b) { return a && b; }

int main(void) {
  for (int a = 0; a < 3; a++)
    for (int b = 0; b < 3; b += 2) sink += several(a, b, a ^ b);
  for (int n = 0; n < 20; n++) sink += wide(n * 4369, -1 >> (n & 3)) + wide(-1, n ? -1 : 77);
  if (sink == -12345) sink += never(1, 2);
  return 0;
}
