/* Lines that end as on Windows. */
static volatile int sink;
#define PICK(a, b) \
  ((a) ? \
   (b) : 0)
#if 0
int left_out;
#endif
int program(int n) {
	if (n > 1) {
		sink++;
	}

	else
		sink--;
	return PICK(n, sink) && n;
}
