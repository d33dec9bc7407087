// Initialisers in conditions, structured bindings, fallthrough that is said to be.
static volatile int sink;
struct pair { int a, b; };
static pair split(int n) { return { n > 2 ? n : 2, n && sink }; }
extern "C" int program(int n) {
  auto [a, b] = split(n);
  if (auto [c, d] = split(a); c > d) sink += c; else if (int e = c - d; e > 0) sink += e; else { sink -= e; }
  if (int x = n) sink += x;
  while (int left = n - sink % 3) { if (left < 2) break; n--; }
  for (int i = 0; int j = n - i; i++) { if (j < 0) break; sink++; }
  switch (auto [c, d] = split(b); c) {
  case 2: sink++; [[fallthrough]];
  case 3: sink += d; break;
  [[unlikely]] default: return n ? c : d;
  }
  if (n > 1) [[likely]] { return 1; } else [[unlikely]] { return a || b; }
}
