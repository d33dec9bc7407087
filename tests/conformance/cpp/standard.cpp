// hosted: code of one's own between that of the standard library.
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>
struct visitor { int operator()(int i) const { return i > 1 ? i : 1; } int operator()(const std::string &s) const { return s.empty() ? 0 : 2; } };
static std::optional<int> half(int n) { if (n % 2) return std::nullopt; return n / 2; }
extern "C" int program(int n) {
  std::vector<int> v;
  for (int i = 0; i < n * 3; i++) v.push_back(i * 7 % 5);
  std::sort(v.begin(), v.end(), [](int a, int b) { return a > b; });
  auto big = std::count_if(v.begin(), v.end(), [n](int i) { return i > 2 && i != n; });
  std::map<std::string, int> names;
  for (int i : v) names[std::string(size_t(i), 'x')] += i ? 1 : 2;
  auto p = std::make_unique<int>(n);
  std::function<int(int)> f = [&](int x) { return x > 0 ? f(x - 1) + *p : 0; };
  std::variant<int, std::string> either = n; if (n > 2) either = "text";
  return int(big) + int(names.size()) + f(n) + half(n).value_or(7) + std::visit(visitor{}, either);
}
