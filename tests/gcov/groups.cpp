#include <stdexcept>
#include <string>
#include <vector>

template <typename T> struct Stack {
  std::vector<T> items;
  Stack() : items() {}
  ~Stack() { items.clear(); }
  void push(T item) {
    if (items.size() > 3) throw std::length_error("full");
    items.push_back(item);
  }
  T pop() { T top = items.back(); items.pop_back(); return top; }
};

struct Base {
  explicit Base(int n) : n(n) {}
  virtual ~Base() {}
  int n;
};

struct Derived : virtual Base {
  explicit Derived(int n) : Base(n) { if (n < 0) throw n; }
};

template <typename T> static int fill(Stack<T> &stack, int n, T item) {
  int refused = 0;
  for (int i = 0; i < n; i++) {
    try {
      stack.push(item);
    } catch (const std::length_error &) {
      refused++;
    }
  }
  return refused;
}

int main() {
  int sum = 0;
  for (int n = 0; n < 8; n++) {
    Stack<int> ints; Stack<std::string> strings; Stack<char> never;
    sum += fill(ints, n, n) + fill(strings, n / 2, std::string("x"));
    if (n > 2) sum += ints.pop();
    try { Derived derived(n - 3); sum += derived.n; } catch (int lost) { sum -= lost; }
    auto both = [&](int a) { return a > 2 ? sum : n; }; auto none = [](int a) { return a; };
    sum += both(n);
    if (n > 100) sum += none(n);
  }
  return sum == 0;
}
