/* Lines that are several lines of text. */
static volatile int sink;
#define LONG(a, b) \
  ((a) \
   && (b) \
       ? (a) \
       : (b))
int pro\
gram(int n) { \
  if (n \
      > 1) \
    sink++; /* a comment \
               goes on */ else \
    sink--; // and so \
    does this one
  _Pragma("clang diagnostic push")
  return LONG(n, \
              sink) + LONG(LONG(n, 1), 2);
  _Pragma("clang diagnostic pop")
}
