/* What several units have a copy of. */
static inline int twice(int n) {
    return n * 2;
}

static inline int unused(int n) {
    return n * 3;
}
