/* Jumps ahead, back, out of loops, into blocks, and to computed places. */
static volatile int sink;
static int retry(int n) {
  int tries = 0;
again:
  if (tries++ < n) goto again;
  if (tries > 5) goto fail;
  sink++;
  return tries;
fail:
  return -1;
}
static int into(int n) {
  if (n > 2) goto inside;
  while (n < 2) {
    n++;
inside:
    sink++;
    if (sink > 100) break;
  }
  return n;
}
static int computed(int n) {
  static const void *const labels[] = { &&zero, &&one, &&two };
  goto *labels[(unsigned)n % 3];
zero: return 0;
one: sink++;
two: return 2;
}
static int dead(int n) {
  goto end;
  sink = n;
unused: __attribute__((unused));
  sink++;
end:
  return n;
}
int program(int n) {
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 3; j++)
      if (i * j == n) goto found;
  sink--;
found:
  return retry(n) + into(n) + computed(n) + dead(n);
}
