// Constructors, destructors, initialisers of members, defaulted and deleted functions.
static volatile int sink;
static int value(int n) { return n ? sink : 1; }
struct base {
  int a = value(1) ? 2 : 3;
  base() { sink++; }
  explicit base(int n) : a(n > 1 ? n : 1) {}
  ~base() { if (sink) sink--; }
};
struct derived : base {
  int b, c = sink && 1;
  derived() = default;
  derived(int n) : base(n), b(n ? value(n) : 0) { if (n > 3) return; sink++; }
  derived(int n, int m) : derived(n || m) { b = m; }
  derived(const derived &other) : base(other.a), b(other.b) {}
  derived &operator=(const derived &) = default;
  ~derived() { for (int i = 0; i < 2; i++) sink += i; }
  static int made(int n) { derived d(n); return d.b; }
  int get() const { return b > c ? b : c; }
  int unused() const { return a ? b : c; }
};
struct trivial { int x; };
extern "C" int program(int n) {
  derived one(n), two(n, 1), three(one);
  { derived four(2); sink += four.get(); if (n > 2) return derived::made(n); }
  three = two;
  trivial t{ n ? 1 : 2 };
  return one.get() + two.get() + three.get() + t.x + derived(7).get();
}
