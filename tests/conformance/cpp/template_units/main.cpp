#include "stack.hpp"
extern "C" int program(int n) {
  stack<int> s;
  for (int i = 0; i < n; i++)
    if (!s.push(i)) break;
  return s.pop() + s.has(2) + depth(n) + other(n) + only_here(n);
}
