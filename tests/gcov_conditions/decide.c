/* Decisions with conditions that are seen to decide and others that are not. */

#define BOTH(a, b) ((a) && (b))

static int unseen(int a) { return a ? 1 : 2; }

static int either(int a, int b, int c)
{
    if (a || (b && c))
        return 1;
    return 0;
}

static int two(int a, int b)
{
    int sum = 0;
    if (a > 0 && b > 0) sum += 1; else if (a < 0 || b < 0) sum += 2;
    while (sum < 3)
        sum += 1;
    return sum;
}

static int macro(int a, int b)
{
    return BOTH(a, b);
}

int main(int argc, char **argv)
{
    (void)argv;
    int sum = either(0, argc, 0) + either(0, argc, argc);
    sum += two(argc, argc) + two(argc, -argc);
    sum += macro(argc, argc);
    if (argc > 100)
        sum += unseen(argc);
    return sum == 0;
}
