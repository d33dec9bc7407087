/* Conditions that the compiler knows. */
static volatile int sink;
enum { OFF, ON };
static const int constant = 1;
int program(int n) {
  if (0) sink++;
  if (1) sink++; else sink--;
  if (OFF) sink++; else if (ON) sink--; else sink = 0;
  if (sizeof(int) == 4) sink++;
  if (sizeof(long) == 1 && n) sink++;
  if (ON || n) sink++;
  if (constant) sink++;
  if (!ON) { while (n) n--; }
  while (OFF) { sink++; }
  for (; 0;) sink--;
  switch (3) { case 1: sink++; break; case 3: sink--; break; }
  return ON ? n : OFF ? sink : 2;
}
