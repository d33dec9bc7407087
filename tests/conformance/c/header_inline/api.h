static inline int used_by_one(int n) { return n > 1 ? n : 1; }
static inline int used_by_both(int n) {
  if (n == 3)
    return 0;
  return used_by_one(n);
}
static inline int used_by_none(int n) { while (n > 0) n--; return n; }
static int not_inline(int n) { return n || used_by_one(n); }
