/* Größe, número, число, 数, 🦀: names, comments and text that are not ASCII. */
static volatile int größe;
static int zählen(int anzahl) { /* ünïcödé */ return anzahl > 1 ? größe++ : 0; }
static const char *text(int n) { return n ? "äöü 🦀" : "число"; }
#define ÜBER(x) ((x) > 2 && größe)
int program(int n) {
  const char *t = text(n); if (ÜBER(n)) { größe += *t; } /* 数 */ else größe--;
  return zählen(n) + zählen(0);
}
