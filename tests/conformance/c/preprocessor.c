/* What the preprocessor leaves out, at the start of functions, between them and inside expressions. */
#define HAVE 1
#if 0
int left_out(void) { return 1; }
#endif
static volatile int sink;
int program(int n) {
#if 0
  if (n) return 1;
#elif HAVE
  if (n > 2)
    sink++;
#else
  sink--;
#endif
  int r = n
#ifdef MISSING
      + 1
#else
      + 2
#endif
      ;
#if HAVE
# if HAVE > 1
  r++;
# else
  for (int i = 0; i < n; i++) {
#   ifdef MISSING
    r--;
#   endif
    r += i;
  }
# endif
#endif
  switch (r) {
#ifdef MISSING
  case 9: return 9;
#endif
  case 2: r = 7; break;
#if 0
  default: r = 1;
#endif
  }
  return r;
#if 0
  trailing
#endif
}
#if 0
never closed by a function
#endif
static int unused_after(int x) { return x; }
