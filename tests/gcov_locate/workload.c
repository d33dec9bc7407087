/* A program without a C library. */
volatile int input;
static int twice(int x) { return x > 2 && x < 100 ? x * 2 : x; }
int never(int x) { return x ? twice(x) : 3; }
void _start(void) {
  for (int i = 0; i < 10; i++) input += twice(i);
  for (;;) ;
}
