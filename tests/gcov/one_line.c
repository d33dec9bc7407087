static volatile int sink;

static int nested(int n) { int sum = 0; for (int i = 0; i < n; i++) for (int j = 0; j < i; j++) { if (j % 2) continue; sum += j; while (sum > 40) sum -= 7; } return sum; }

static int tangled(int n) { int k = n; again: if (k % 5 == 0) { k++; goto again; } do { k -= 2; if (k % 7 == 3) goto again; } while (k > 0); return k ? n && k : n || k; }

int main(void) { for (int n = 0; n < 30; n++) { sink += nested(n); sink -= tangled(n); } return 0; }
