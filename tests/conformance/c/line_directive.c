/* Generated code says where it is from. */
static volatile int sink;
#line 100 "grammar.y"
static int parse(int n) {
  if (n > 1)
    return n;
#line 7 "other.y"
  sink++;
  return sink;
}
#line 40
int program(int n) {
  return parse(n) && parse(n - 2) ? 1 : 2;
}
