// Decisions in templates, lambdas, constructors and destructors, and with operators that are functions.
static volatile int sink;

struct Flag {
  int n;
  explicit Flag(int n) : n(n > 3 && n < 9 ? 9 : n) {}
  ~Flag() { if (n == 9 || n < 0) sink = sink + 1; }
  explicit operator bool() const { return n & 1 && n > 1; }
};

template <int N> static int within(int a, int b) { return (a < N && b < N) || (a == b && a != N); }

struct Both { int a; friend bool operator&&(const Both &l, const Both &r) { return l.a && r.a; } };

int main() {
  for (int n = -2; n < 12; n++) {
    Flag flag(n);
    auto odd = [&](int k) { return flag && (k > 2 || n == 5); };
    sink = sink + within<4>(n, n / 2) + within<7>(n * 2, 5) + odd(n);
    if (Both{n} && Both{n - 1}) sink = sink + 1;
    if (flag || odd(n - 1)) sink = sink - 1;
  }
  return 0;
}
