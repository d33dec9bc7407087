int two(int a, int b) { return a && b; }
int three(int a, int b, int c) { return a && (b || c); }
int other(int a, int b, int c) { return (a || b) && c; }
int start(int n) { return two(n & 1, n & 2) + three(n & 1, n & 2, n & 4) + other(n & 4, n & 2, n & 1); }
