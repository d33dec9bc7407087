/* One list, used for several things. */
#define COLOURS(X) \
  X(RED, 1) \
  X(GREEN, 2) \
  X(BLUE, 4)
#define AS_ENUM(name, value) name = value,
#define AS_CASE(name, value) case name: return #name;
#define AS_TEST(name, value) if (n == value) return 1;
#define AS_FUNCTION(name, value) static int is_##name(int n) { return n == value || n == -value; }
#define AS_CALL(name, value) + is_##name(n)
enum colour { COLOURS(AS_ENUM) };
static const char *name(enum colour c) { switch (c) { COLOURS(AS_CASE) } return ""; }
static int known(int n) { COLOURS(AS_TEST) return 0; }
COLOURS(AS_FUNCTION)
int program(int n) { return name((enum colour)n)[0] + known(n) COLOURS(AS_CALL); }
