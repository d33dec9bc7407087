/* Objects that share one name and one array of functions, none of which is theirs. */
typedef unsigned u32;
struct fn { const void *key; u32 words[3], num; long long *values; };
struct info {
  u32 version, next, stamp, checksum; const char *filename; u32 merge[8], n_functions; const struct fn *const *functions;
};
static const struct fn f = {&f, {1, 2, 3}, 0, 0};
static const struct fn *const functions[4096] = {[0 ... 4095] = &f};
struct info all[4096] = {[0 ... 4095] = {0x4232322a, 0, 1, 2, "/a.gcda", {1}, 4096, functions}};
void _start(void) {}
