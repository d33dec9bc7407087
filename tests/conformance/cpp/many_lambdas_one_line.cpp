// Many functions that begin on one line.
static volatile int sink;
extern "C" int program(int n) { auto a = [&] { return n ? 1 : 2; }; auto b = [&] { return a() && n; }; auto c = [&] { return b() || a(); }; return a() + b() + c() + [&] { return [&] { return n > sink; }() ? 3 : 4; }(); }
