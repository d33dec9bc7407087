/* Runs a program of the corpus a few times, in a process that has a C library. */
int program(int n);
volatile int result;
int main(void) {
  for (int n = 0; n < 4; n++) result = program(n * 3 - n % 2);
  return 0;
}
