// Functions for types that can do something.
static volatile int sink;
template <typename T> concept small = sizeof(T) <= 2;
template <typename T> concept sized = requires(T t) { { t.size() } ; };
template <small T> int take(T t) { return t ? 1 : 2; }
template <typename T> int take(T t) { if (t > 3) return 3; return 4; }
template <typename T> requires sized<T> int measure(const T &t) { return t.size() ? t.size() : -1; }
template <typename T> int measure(const T &) { return sink && 1; }
struct box { int size() const { return sink ? 2 : 0; } };
extern "C" int program(int n) {
  auto either = []<typename T>(T t) requires small<T> { return t ? 5 : 6; };
  return take('a') + take(n) + take(short(n)) + measure(box{}) + measure(n) + either(char(n));
}
