#include "header.h"

int one(int value)
{
    return within(value, 0, 9);
}
