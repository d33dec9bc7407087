// hosted: variables that are initialised once, before main or when they are first reached.
#include <cstdlib>
static volatile int sink;
static int make(int n) { sink++; return n > 1 ? n : 2; }
static int global = make(sink ? 1 : 3);
struct counter { int n; counter() : n(make(2)) { if (n) sink++; } ~counter() { if (sink > 2) sink = 0; } };
static counter object;
thread_local int per_thread = make(5) && sink;
static int once(int n) { static int value = make(n ? n : 7); static counter local; return value + local.n; }
inline int shared = sink ? make(1) : 4;
extern "C" int program(int n) { if (n > 900) std::exit(3); return global + object.n + per_thread + once(n) + shared; }
