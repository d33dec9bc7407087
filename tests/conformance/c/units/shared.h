#ifndef SHARED_H
#define SHARED_H
#define COUNT(n) ((n) > 3 ? (n) : 3)
static inline int shared(int n) {
  if (n > 5 && n < 100)
    return COUNT(n);
  return n;
}
static inline int never_used(int n) { return n ? 1 : 2; }
#endif
