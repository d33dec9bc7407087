/* A decision in a header, which several units have. */
#ifndef HEADER_H
#define HEADER_H

static inline int within(int value, int low, int high)
{
    return value >= low && value <= high;
}

#endif
