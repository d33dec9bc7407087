#include "header.h"

int one(int value);

int main(int argc, char **argv)
{
    (void)argv;
    int sum = one(argc) + one(argc + 20);
    sum += within(-argc, 0, 9);
    return sum == 0;
}
