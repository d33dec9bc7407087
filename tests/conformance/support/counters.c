/* Writes the program's counters, and behind them its bitmaps, to the file that COUNTERS names, when all else is done. */
#include <stdio.h>
#include <stdlib.h>
extern char __start___llvm_prf_cnts[] __attribute__((weak)), __stop___llvm_prf_cnts[] __attribute__((weak));
extern char __start___llvm_prf_bits[] __attribute__((weak)), __stop___llvm_prf_bits[] __attribute__((weak));
__attribute__((destructor)) static void write_counters(void) {
  const char *path = getenv("COUNTERS");
  FILE *file = path ? fopen(path, "wb") : NULL;
  if (!file) return;
  fwrite(__start___llvm_prf_cnts, 1, (size_t)(__stop___llvm_prf_cnts - __start___llvm_prf_cnts), file);
  if (__start___llvm_prf_bits)
    fwrite(__start___llvm_prf_bits, 1, (size_t)(__stop___llvm_prf_bits - __start___llvm_prf_bits), file);
  if (fclose(file)) abort();
}
