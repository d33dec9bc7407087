#include "header.h"
template <typename T> T pick(T a, T b);
inline int unused_inline(int x) { return x ? 1 : 2; }
int b_fn(int x) { return in_header(x) + unused_inline(x); }
