/* A program of two threads that go round for ever, in functions of their own. */
#include <pthread.h>

#define OUTLINE __attribute__((noinline))

volatile int sink;

OUTLINE void first(unsigned i) {
    if (i & 1)
        sink += 3;
    else
        sink ^= 5;
}

OUTLINE void second(unsigned i) {
    while (i-- & 3)
        sink--;
}

OUTLINE void never(void) { sink = 0; }

static void *other(void *argument) {
    for (unsigned i = 0;; i++)
        second(i);
    return argument;
}

int main(int argc, char **argv) {
    pthread_t thread;
    if (argc > 5)
        never();
    if (pthread_create(&thread, 0, other, argv))
        return 1;
    for (unsigned i = 0;; i++)
        first(i);
}
