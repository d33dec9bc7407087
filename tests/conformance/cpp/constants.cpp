// What is decided or computed at compile time.
static volatile int sink;
template <typename T> int width(T t) {
  if constexpr (sizeof(T) == 1) { return t ? 1 : 2; }
  else if constexpr (sizeof(T) == 2) return 2;
  else { if (t > 3) return 4; return 8; }
}
constexpr int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
constexpr int loop(int n) { int s = 0; for (int i = 0; i < n; i++) { if (i == 2) continue; s += i; } return s; }
constexpr int only_at_compile_time(int n) { return n > 2 ? n : 2; }
static_assert(fib(7) == 13);
static_assert(only_at_compile_time(3) == 3);
constexpr int table[] = { fib(3), loop(4), only_at_compile_time(9) };
template <bool B> int chosen(int n) { if constexpr (B) return n ? 1 : 2; return 3; }
extern "C" int program(int n) {
  if constexpr (sizeof(int) == 4 && fib(3) == 2) sink++; else sink--;
  if (table[1] > 2) sink++;
  return width('a') + width(short(n)) + width(n) + fib(n) + loop(n) + chosen<true>(n) + chosen<false>(n);
}
