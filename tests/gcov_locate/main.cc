#include <vector>
#include "shared.h"

int work(int n);
int (*volatile call)(int) = twice<int>;

int main(int argc, char **) {
  std::vector<int> all;
  for (int i = 0; i < 5; i++) all.push_back(call(i + argc) + shared(i) % argc);
  return work(all.size()) == 0;
}
