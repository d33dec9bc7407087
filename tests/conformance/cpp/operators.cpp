// Operators, conversions and literals of one's own. Overloaded && and || are calls: both sides run.
static volatile int sink;
struct number {
  int v;
  number operator+(number o) const { return { v > 0 ? v + o.v : o.v }; }
  bool operator&&(number o) const { return v != 0 && o.v != 0; }
  bool operator||(number o) const { return v || o.v; }
  bool operator!() const { return v ? false : true; }
  explicit operator bool() const { return v > 1; }
  operator int() const = delete;
  number &operator++() { if (v < 5) v++; return *this; }
  number operator++(int) { number old = *this; ++*this; return old; }
  int operator[](int i) const { return i ? v : 0; }
  int operator()(int a, int b) const { return a && b ? v : 1; }
  friend bool operator<(number a, number b) { return a.v < b.v; }
};
static number operator""_n(unsigned long long v) { return { v > 3 ? int(v) : 3 }; }
extern "C" int program(int n) {
  number a{ n }, b = 4_n, c = a + b + 9_n;
  if (a && b) sink++;
  if (a || !b) sink++;
  if (a) sink--;
  if (a < b && b < c) ++a; else b++;
  while (a < b) a++;
  return a[n] + b(n, 1) + (bool(c) ? c.v : 0);
}
