/* No newline at the end. */
static int f(int n) { return n ? 1 : 2; }
int program(int n) { return f(n); }