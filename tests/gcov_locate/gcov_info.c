/* gcov's structures written by hand, as a compiler of VERSION lays them out: MERGES of merge, CHECKSUM or none. Two
   objects; the second one lost a function to the first, and has a null pointer. ACTIVE is the merge function beside
   that of arcs. */
#ifndef COUNTERS
#define COUNTERS b_arcs
#endif
#define ARRAY(a) (sizeof(a) / sizeof *(a))
typedef unsigned u32;
struct ctr { u32 num; long long *values; };
struct fn { const void *key; u32 ident, lineno_checksum, cfg_checksum; struct ctr ctrs[2]; };
struct info {
  u32 version; struct info *next; u32 stamp;
#ifdef CHECKSUM
  u32 checksum;
#endif
  const char *filename; void (*merge[MERGES])(long long *, u32); u32 n_functions; const struct fn *const *functions;
};
static void merge(long long *values, u32 num) { (void)values; (void)num; }
static long long a_arcs[3], a_more[5], b_arcs[2];
const long long constants[2] = {1, 2};
struct info a, b;
static const struct fn a_f = {&a, 11, 12, 13, {{ARRAY(a_arcs), a_arcs}, {ARRAY(a_more), a_more}}};
static const struct fn b_f = {&b, 21, 22, 23, {{2, (long long *)COUNTERS}, {0, 0}}};
static const struct fn *const a_fns[] = {&a_f};
static const struct fn *const b_fns[] = {&a_f, &b_f, 0};
#ifdef CHECKSUM
#define HEAD(stamp, checksum) VERSION, 0, stamp, checksum
#else
#define HEAD(stamp, checksum) VERSION, 0, stamp
#endif
struct info a = {HEAD(1, 100), "/a.gcda", {[0] = merge, [ACTIVE] = merge}, 1, a_fns};
struct info b = {HEAD(2, 200), "/b.gcda", {[0] = merge, [ACTIVE] = merge}, 3, b_fns};
void _start(void) {}
