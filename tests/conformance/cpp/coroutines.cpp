// hosted c++20: functions that go on later.
#include <coroutine>
static volatile int sink;
struct generator {
  struct promise_type {
    int value = 0;
    generator get_return_object() { return { std::coroutine_handle<promise_type>::from_promise(*this) }; }
    std::suspend_always initial_suspend() { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    std::suspend_always yield_value(int v) { value = v > 3 ? 3 : v; return {}; }
    void return_void() { sink++; }
    void unhandled_exception() { sink--; }
  };
  std::coroutine_handle<promise_type> handle;
  bool next() { handle.resume(); return !handle.done() && sink >= 0; }
};
static generator count(int n) {
  for (int i = 0; i < n; i++) {
    if (i == 2) continue;
    co_yield i;
    if (i > 5) co_return;
  }
}
extern "C" int program(int n) {
  generator g = count(n);
  int sum = 0;
  while (g.next()) sum += g.handle.promise().value;
  g.handle.destroy();
  return sum;
}
