// Functions and classes of several types, some instantiated, some not.
static volatile int sink;
template <typename T> T pick(T a, T b) {
  if (a > b && a != 3)
    return a;
#if 0
  return b;
#endif
  return b ? b : a;
}
template <typename T, int N> struct ring {
  T items[N] = {};
  int at = 0;
  void push(T item) { items[at] = item; if (++at == N) at = 0; }
  T sum() const { T total = 0; for (auto item : items) total += item > 1 ? item : 1; return total; }
  T unused() const { return at ? items[0] : T(); }
};
template <> struct ring<char, 1> { void push(char c) { if (c) sink++; } int sum() const { return sink ? 1 : 0; } };
template <typename T> int never(T t) { return t ? 1 : 2; }
template <int N> int factorial() { return N > 2 ? N * factorial<N - 1>() : 1; }
template <> int factorial<0>() { return 1; }
extern "C" int program(int n) {
  ring<int, 3> a; ring<long, 2> b; ring<char, 1> c;
  for (int i = 0; i < n; i++) { a.push(i); if (i & 1) b.push(i); }
  c.push(char(n));
  return pick<int>(n, 2) + int(pick<long>(n, 7)) + pick<unsigned char>(1, 2) + a.sum() + int(b.sum()) + c.sum() + factorial<4>();
}
