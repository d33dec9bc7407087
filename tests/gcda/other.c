unsigned divide(unsigned x, unsigned by)
{
    return x / by + x % by;
}

int never(int x)
{
    return x ? 1 : 2;
}
