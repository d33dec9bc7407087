/* Runs a program of the corpus a few times without a C library, and writes its counters, and behind them its bitmaps,
   to the standard output. */
typedef unsigned int size_t;
int program(int n);
volatile int result;
extern char __start___llvm_prf_cnts[] __attribute__((weak)), __stop___llvm_prf_cnts[] __attribute__((weak));
extern char __start___llvm_prf_bits[] __attribute__((weak)), __stop___llvm_prf_bits[] __attribute__((weak));
void *memset(void *to, int c, size_t n) { volatile char *t = to; while (n--) *t++ = (char)c; return to; }
void *memcpy(void *to, const void *from, size_t n) {
  volatile char *t = to; const char *f = from; while (n--) *t++ = *f++; return to; }
static int call(int number, int a, const void *b, int c) {
  int r;
  __asm__ volatile("int $0x80" : "=a"(r) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
  return r;
}
static void output(const char *start, const char *stop) {
  while (start < stop) {
    int done = call(4 /* write */, 1, start, stop - start);
    if (done <= 0) call(1 /* exit */, 1, 0, 0);
    start += done;
  }
}
__attribute__((force_align_arg_pointer)) void _start(void) {
  for (int n = 0; n < 4; n++) result = program(n * 3 - n % 2);
  output(__start___llvm_prf_cnts, __stop___llvm_prf_cnts);
  output(__start___llvm_prf_bits, __stop___llvm_prf_bits);
  call(1 /* exit */, 0, 0, 0);
}
