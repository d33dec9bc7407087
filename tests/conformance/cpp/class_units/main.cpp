#include "widget.hpp"
static int helper(int n) { if (n > 2) return 1; return 0; }
extern "C" int program(int n) { widget w(n); return w.f(n) + w.inlined(3) + helper(n) + widget::counted; }
