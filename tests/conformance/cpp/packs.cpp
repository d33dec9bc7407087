// Any number of arguments, and folds over them.
static volatile int sink;
static int one(int n) { return n > 1 ? n : 1; }
template <typename... T> int sum(T... t) { return (one(int(t)) + ... + 0); }
template <typename... T> bool all(T... t) { return (t && ...); }
template <typename... T> bool any(T... t) { return (... || (t > 3)); }
template <typename F, typename... T> int call(F f, T... t) { (f(t), ...); return sizeof...(t) ? 1 : 2; }
static int last() { return sink ? 1 : 0; }
template <typename H, typename... T> int last(H h, T... t) { if (sizeof...(t) == 0) return int(h); return last(t...); }
extern "C" int program(int n) {
  return sum() + sum(n) + sum(n, 'a', 3L) + all(n, 1, true) + any(n, 2, 5) + call([](auto x) { if (x) sink++; }, n, 'b') + call([](int) {}) + last(n, 2, 'c');
}
