#include "stack.hpp"
int other(int n) {
  stack<int> s; stack<short> t;
  s.push(n); t.push(1);
  return s.has(n) + t.pop() + depth(n + 1) + only_here(short(n));
}
