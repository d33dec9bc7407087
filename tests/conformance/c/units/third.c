#include "shared.h"
/* Uses nothing of the header, and nobody uses this. */
static int local(int n) { return n; }
int third(int n) { return local(n); }
