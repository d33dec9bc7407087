// hosted: what is thrown, caught, rethrown and passed on.
#include <stdexcept>
#include <string>
static volatile int sink;
struct guard { ~guard() { sink++; } };
static int risky(int n) {
  guard g;
  if (n > 5) throw std::runtime_error("large");
  if (n > 2) throw n;
  return n ? 1 : 0;
}
static int caught(int n) {
  try {
    sink += risky(n);
    if (n == 1) return 1;
    sink++;
  } catch (const std::runtime_error &error) {
    return int(std::string(error.what()).size());
  } catch (int value) {
    if (value > 3) throw;
    return value;
  } catch (...) { return 9; }
  return 0;
}
struct member { int x; member(int n) try : x(risky(n)) { sink++; } catch (int) { sink--; throw; } };
static int quiet(int n) noexcept { return n && sink; }
static int function_try(int n) try { return risky(n) ? 1 : 2; } catch (...) { return n > 3 ? 3 : 4; }
extern "C" int program(int n) {
  int r = quiet(n) + function_try(n);
  try { r += caught(n); } catch (int x) { r += x; }
  try { member m(n); r += m.x; } catch (...) { r--; }
  try { try { throw 'c'; } catch (int) { r = 0; } } catch (char c) { r += c ? 1 : 2; }
  for (int i = 0; i < 3; i++) try { if (i == n) continue; if (i == 2) break; throw i; } catch (int) { sink++; }
  return r;
}
