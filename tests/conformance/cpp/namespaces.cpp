// Functions of one name in several places.
static volatile int sink;
namespace { int f(int n) { return n ? 1 : sink; } namespace inner { int f(int n) { return n > 1 ? 2 : 3; } } int unused(int n) { return n; } }
namespace outer { int f(int n) { return n > 2; } inline namespace v1 { int g(int n) { return n ? f(n) : 4; } } namespace nested::deep { int f(int n) { return n && sink; } } }
struct s { static int f(int n) { return n || sink; } struct t { static int f(int n) { return n ? 5 : 6; } }; };
static int f(long n) { return n > 3; }
static int f(const char *n) { return n ? 7 : 8; }
extern "C" int program(int n) {
  using outer::nested::deep::f;
  struct local { static int f(int n) { if (n) return 9; return 0; } };
  return ::f(n) + inner::f(n) + outer::f(n) + outer::g(n) + f(n) + s::f(n) + s::t::f(n) + ::f(4L) + ::f("x") + local::f(n);
}
