/* Statements in expressions, and blocks in blocks. */
static volatile int sink;
#define SAFE_MAX(a, b) ({ int a_ = (a); int b_ = (b); a_ > b_ ? a_ : b_; })
#define SWAP(a, b) do { int t = (a); (a) = (b); (b) = t; } while (0)
int program(int n) {
  int x = ({ int y = n; if (y > 2) y--; y; });
  int z = SAFE_MAX(x, SAFE_MAX(n, 2));
  if (({ sink++; n > 1; }) && ({ int r = 0; for (int i = 0; i < n; i++) r += i; r; })) {
    { { SWAP(x, z); } }
  }
  for (int i = ({ n; }); i > 0; i -= ({ i > 2 ? 2 : 1; })) { int x; { int x = i; sink += x; } x = 1; sink += x; }
  return x + ({ goto end; end: z; });
}
