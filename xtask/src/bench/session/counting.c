/* A program with many counters that changes few of them all the time: every SPREAD-th one, a thousand times a second. */
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

extern volatile uint64_t __start___llvm_prf_cnts[], __stop___llvm_prf_cnts[];

int main(void) {
    puts("counting");
    fflush(stdout);
    for (;;) {
        for (volatile uint64_t *counter = __start___llvm_prf_cnts; counter < __stop___llvm_prf_cnts; counter += SPREAD)
            ++*counter;
        usleep(1000);
    }
}
