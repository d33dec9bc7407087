/* Cases that fall through, ranges, defaults in the middle, switches in loops and loops in switches. */
static volatile int sink;
static int fall(int x) {
  switch (x) {
  case 0: return 1;
  case 1:
    sink++;
  case 2: { sink += 2; break; }
  default:
    sink = 9;
  case 3 ... 5:
    sink--;
    break;
  case 6:;
  }
  return sink;
}
static void copy(volatile int *to, int count) {
  int n = (count + 3) / 4;
  if (!count) return;
  switch (count % 4) {
  case 0: do { *to += 1;
  case 3:      *to += 2;
  case 2:      *to += 3;
  case 1:      *to += 4;
          } while (--n > 0);
  }
}
static int nested(int a, int b) {
  switch (a) {
  case 1: switch (b) { case 1: return 11; case 2: return 12; } break;
  case 2: if (b) break; else return 20;
  default: switch (b) { default: ; }
  }
  return 0;
}
static void empty(int x) { switch (x) {} switch (x) default: sink++; switch (x) case 3: sink--; }
enum kind { A, B, C };
static int all(enum kind k) { switch (k) { case A: return 1; case B: return 2; case C: return 3; } return 0; }
int program(int n) {
  for (int i = 0; i < n; i++) {
    switch (i) { case 2: continue; case 5: goto out; default: break; }
    sink += fall(i);
  }
out:
  copy(&sink, n);
  empty(n);
  return nested(n, 1) + nested(1, n) + all(n % 3) + nested(2, 0);
}
