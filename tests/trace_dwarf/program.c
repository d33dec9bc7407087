#include "program.h"

int sink;

static int choose(int n) {
    switch (n) {
    case 0:
        return 10;
    case 1:
        return 11;
    default:
        return 12;
    }
}

static int never(int n) {
    return n - 1;
}

static int sum(int n) {
    int total = 0;
    while (n > 0) {
        total += n;
        n--;
    }
    return total;
}

static int clamp(int n) {
    if (n > 100)
        return 100;
    if (n < 0)
        return 0;
    return n;
}

void program(void) {
    sink = choose(1);
    sink += sum(4);
    sink += clamp(sink);
    sink += twice(sink);
    if (sink < 0)
        sink = never(sink);
}
