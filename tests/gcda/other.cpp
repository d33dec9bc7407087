#include "shared.hpp"

int other(int n)
{
    int values[] = { 1, n };
    return smallest(values, 2) + common(n);
}
