// Loops over what has a begin and an end.
static volatile int sink;
struct numbers {
  int last;
  struct iterator { int at; int operator*() const { return at; } iterator &operator++() { at++; return *this; } bool operator!=(iterator o) const { return at != o.at; } };
  iterator begin() const { return { 0 }; }
  iterator end() const { return { last > 0 ? last : 0 }; }
};
extern "C" int program(int n) {
  int sum = 0, items[] = { n, 2, 3 };
  for (int i : items) sum += i;
  for (auto &i : items) { if (i == 2) continue; i++; }
  for (auto i : numbers{ n }) { if (i > 4) break; for (auto j : numbers{ i }) sum += i && j; }
  for (auto i : numbers{ 0 }) sink += i;
  for (const auto &i : items)
    for (auto j : items)
      if (i != j) sum++;
  return sum;
}
