/* Calls through tables, and state machines. */
static volatile int sink;
typedef int (*step)(int);
static int a(int n); static int b(int n); static int c(int n);
static const step table[] = { a, b, c };
static int a(int n) { return n > 1 ? 1 : 2; }
static int b(int n) { if (n & 1) return 2; sink++; return 0; }
static int c(int n) { return n ? 0 : 1; }
struct list { struct list *next; int value; };
static int length(const struct list *l) { int n = 0; for (; l; l = l->next) if (l->value) n++; return n; }
int program(int n) {
  int state = n % 3;
  for (int i = 0; i < 5; i++) state = table[state](i);
  struct list l1 = { 0, 1 }, l2 = { &l1, 0 }, l3 = { &l2, n };
  return state + length(&l3) + length(n ? &l1 : 0);
}
