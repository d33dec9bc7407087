#define MAXOF(a, b) ((a) > (b) ? (a) : (b))
#define BOTH(a, b) ((a) && (b))
#define NEST(a, b, c) (BOTH(a, b) ? MAXOF(a, c) : MAXOF(b, c))
static inline int in_header(int x) { return x && BOTH(x, x - 3) ? MAXOF(x, 2) : 0; }
