/* Loops of every kind. */
static volatile int sink;
int program(int n) {
  int i, j;
  for (i = 0; i < n; i++) sink++;
  for (i = 0; i < n; i++);
  for (i = 0; i < n; i++) { }
  for (;;) break;
  for (i = 0, j = 9; i < n && j > 0; i++, j -= 2)
    if (i == j) continue;
    else sink += i;
  while (n > 9) n--;
  while (n > 0 && sink) { n--; if (n == 2) break; if (n == 4) continue; sink++; }
  do sink++; while (sink < 0);
  do { if (sink % 2) continue; sink++; } while (i-- > 0);
  do { break; } while (1);
  do { sink--; } while (0);
  for (int a = 0; a < 3; a++)
    for (int b = a; b < 3; b++) {
      for (int c = b; ; c++) {
        if (c > 3) break;
        sink += a * b * c;
      }
      if (a == b) continue;
      sink--;
    }
  while (0) sink++;
  while (1) { if (sink++ > -1000) return n; }
}
