/* Selection by type, compound literals, designated initialisers, arrays of unknown length. */
static volatile int sink;
#define KIND(x) _Generic((x), int: (n ? 1 : 2), char: (n || sink), default: 9)
struct point { int x, y; };
static int sum(const struct point *p) { return p->x && p->y ? p->x + p->y : 0; }
_Static_assert(sizeof(int) >= 2, "int");
int program(int n) {
  int lengths[(n & 3) + 1];
  for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) lengths[i] = n > (int)i ? n : (int)i;
  struct point p = { .y = n ? 1 : 2, .x = n && sink };
  union { int i; char c[4]; } u = { .c = { 1, [2] = (char)(n ? 3 : 4) } };
  return KIND(n) + KIND('a') + KIND((char)1) + sum(&(struct point){ n || 1, n }) + sum(&p) + lengths[0] + u.c[2];
}
