/* A program that counts in two threads and takes a signal every millisecond, until it is told to end. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/time.h>
#include <unistd.h>

volatile uint64_t counter, other_counter, ticks, process, quit;
volatile unsigned char constant[70000];

static void tick(int number) {
    (void)number;
    ticks++;
}

static void *other(void *unused) {
    for (;;) other_counter++;
    return unused;
}

__attribute__((noinline)) void count(void) {
    counter++;
}

int main(void) {
    struct itimerval every = {{0, 1000}, {0, 1000}};
    pthread_t thread;
    process = (uint64_t)getpid();
    for (unsigned i = 0; i < sizeof constant; i++) constant[i] = (unsigned char)(i ^ i >> 8);
    signal(SIGALRM, tick);
    setitimer(ITIMER_REAL, &every, 0);
    pthread_create(&thread, 0, other, 0);
    while (!quit) count();
    return 7;
}
