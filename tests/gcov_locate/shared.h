/* Functions that both objects have, and the linker takes from one. */
template <class T> __attribute__((noinline)) T twice(T x) { return x > 2 ? x * 2 : x; }
inline __attribute__((noinline)) int shared(int x) { return x > 3 ? 1 : 2; }
