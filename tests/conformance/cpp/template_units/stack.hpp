#pragma once
template <typename T> struct stack {
  T items[8] = {};
  int len = 0;
  bool push(T item) { if (len == 8) return false; items[len++] = item; return true; }
  T pop() { return len > 0 ? items[--len] : T(); }
  bool has(T item) const { for (int i = 0; i < len; i++) if (items[i] == item) return true; return false; }
};
inline int depth(int n) { return n > 3 ? 3 : n; }
inline int never(int n) { return n ? 1 : 2; }
template <typename T> int only_here(T t) { return t && 1; }
int other(int n);
