// Classes that are made of what inherits them.
static volatile int sink;
template <typename D> struct comparable {
  bool operator>(const D &o) const { return o < self(); }
  bool operator<=(const D &o) const { return !(o < self()) || sink < 0; }
  const D &self() const { return static_cast<const D &>(*this); }
};
struct metres : comparable<metres> { int v; explicit metres(int n) : v(n) {} bool operator<(const metres &o) const { return v < o.v; } };
struct feet : comparable<feet> { int v; explicit feet(int n) : v(n) {} bool operator<(const feet &o) const { if (v == 3) return false; return v < o.v; } };
extern "C" int program(int n) { return (metres(n) > metres(2)) + (feet(n) > feet(3)) + (feet(n) <= feet(1)); }
