#include "api.h"
int other(int n);
int program(int n) { return used_by_both(n) + other(n) + used_by_one(n); }
