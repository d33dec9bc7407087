/* A goto whose target is computed, and a switch with ranges, gaps and ways from one case into the next. */
static volatile int sink;

static int interpret(const char *code) {
  static const void *const ways[] = { &&add, &&sub, &&loop, &&end };
  int value = 3;
next:
  goto *ways[*code++ - '0'];
add: value += 5; goto next;
sub: value -= 2; goto next;
loop: if (value-- > 9) { code--; } goto next;
end: return value;
}

static int kind(int c) {
  switch (c) {
  case 'a' ... 'f': sink++; /* fall through */
  case '0' ... '9': return 1;
  case 1: case 300: case 10000: return 2;
  case -5: break;
  default: if (c > 200) return 3;
  }
  return 0;
}

int main(void) {
  for (int c = -9; c < 310; c += 7) sink += kind(c);
  return interpret("0012013") + sink == 0;
}
