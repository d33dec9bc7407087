/* Functions within functions, which GNU C has, and a block that leaves the outer one. */
static volatile int sink;

int program(int n) {
  __label__ out;
  int found = 0;
  int twice(int x) { return x > n ? 2 * x : x; }
  void look(int x) {
    if (twice(x) == 6) { found = x; goto out; }
    sink += x;
  }
  for (int i = 0; i < n; i++) look(i);
  return 0;
out:
  return found;
}

int main(void) {
  int sum = 0;
  for (int n = 0; n < 9; n++) sum += program(n);
  return sum == 0;
}
