/* Control flow and macros that go deep. */
static volatile int sink;
#define M0(x) ((x) ? sink : 1)
#define M1(x) (M0(x) + M0((x) + 1))
#define M2(x) (M1(x) + M1((x) && sink))
#define M3(x) (M2(x) + M2(M0(x)))
#define M4(x) M3(M0(M1(x)))
int program(int n) {
  if (n) { if (n > 1) { if (n > 2) { if (n > 3) { if (n > 4) { if (n > 5) { if (n > 6) { if (n > 7) { if (n > 8) {
    for (int i = 0; i < n; i++) { while (i < 3) { i++; do { if (i == 2) { switch (i) { case 2: { sink++; } } } } while (0); } }
  } else sink--; } } } } } } } else sink++; }
  int a = ((((((((n > 1) && n > 2) || n > 3) && n > 4) || n > 5) && n > 6) || n > 7) && n > 8);
  return a + M4(n) + M3(a);
}
