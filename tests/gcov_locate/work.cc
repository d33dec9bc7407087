#include <vector>
#include "shared.h"

int never(int x) { return x > 4 ? shared(x) : 2; }

int work(int n) {
  std::vector<int> all;
  for (int i = 0; i < n; i++) all.push_back(twice(i) + shared(i));
  return all.size();
}
