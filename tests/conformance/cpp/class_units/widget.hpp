#pragma once
struct widget {
  int v;
  widget(int n) : v(n > 1 ? n : 1) {}
  virtual int f(int n);
  int inlined(int n) const { return n && v ? v : 0; }
  static int counted;
};
