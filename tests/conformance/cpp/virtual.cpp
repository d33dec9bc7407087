// Functions that are found at run time.
static volatile int sink;
struct shape {
  virtual int area(int n) const { return n ? sink : 1; }
  virtual int sides() const = 0;
  int both(int n) const { return area(n) && sides(); }
};
struct square : shape {
  int area(int n) const override { return n > 2 ? n * n : 0; }
  int sides() const override { return 4; }
};
struct dot final : shape { int sides() const override { if (sink > 3) return 0; return 1; } };
struct left { virtual int f() { return 1; } int l = 1; };
struct right { virtual int f() { return sink ? 2 : 3; } virtual int g() { return 4; } int r = 2; };
struct both : left, right { int f() override { return l && r ? 5 : 6; } };
static int measure(const shape &s, int n) { return s.both(n) ? s.area(n) : s.sides(); }
extern "C" int program(int n) {
  square s; dot d; both b;
  right &r = b;
  return measure(s, n) + measure(d, n) + r.f() + r.g() + static_cast<left &>(b).f();
}
