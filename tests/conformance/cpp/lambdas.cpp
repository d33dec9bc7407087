// Functions in functions: that capture, nest, return, are generic, are called at once or never.
static volatile int sink;
template <typename F> int twice(F f, int n) { return f(n) + (n > 2 ? f(n - 1) : 0); }
extern "C" int program(int n) {
  int count = 0;
  auto plain = [](int x) { return x > 1 ? x : 1; };
  auto by_ref = [&](int x) { if (x > 2) count++; return count; };
  auto by_value = [=](int x) mutable { return n && x ? n++ : 0; };
  auto nested = [&](int x) { auto inner = [&](int y) { return y > x && y ? 1 : 2; }; return inner(x) + inner(x + 1); };
  auto generic = [](auto x, auto y) { return x > y ? int(x) : int(y); };
  auto never = [&] { return sink ? 1 : 2; };
  (void)never;
  int at_once = [&] { for (int i = 0; i < n; i++) sink++; return sink > 3; }();
  int (*pointer)(int) = [](int x) { return x ? 4 : 5; };
  if ([&] { return n > 1; }() && [](int x) { return x > 2; }(n)) sink++;
  return plain(n) + by_ref(n) + by_value(n) + nested(n) + generic(n, 2L) + generic('a', 'b') + at_once + pointer(n) +
         twice(plain, n) + twice([&](int x) { return x || n; }, n) + twice(by_ref, 5);
}
