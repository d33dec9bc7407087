#include "api.h"
int other(int n) { return used_by_both(n + 1); }
