#include "widget.hpp"
int widget::counted = 0;
static int helper(int n) { return n ? widget::counted : 2; }
int widget::f(int n) { counted++; return helper(n) || inlined(n); }
