// Classes in functions, functions in classes in functions.
static volatile int sink;
template <typename T> static int outer(T t) {
  struct local {
    T v;
    int get() const { return v > 2 ? 1 : 2; }
    struct inner { int f(T x) { if (x) return sink; return 3; } };
  };
  typename local::inner i;
  return local{ t }.get() + i.f(t);
}
extern "C" int program(int n) {
  struct op { virtual int f(int x) { return x ? 1 : sink; } };
  struct more : op { int f(int x) override { return x > 1 && op::f(x); } };
  op o; more m;
  op *both[] = { &o, &m };
  int sum = 0;
  for (op *p : both) sum += p->f(n);
  return sum + outer(n) + outer('c') + outer(2.5f);
}
