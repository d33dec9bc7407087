/* Arrays whose length is known at run time only, and values of several elements. */
#include <alloca.h>
#include <string.h>

typedef int four __attribute__((vector_size(16)));

static volatile int sink;

static int reversed(const char *text) {
  size_t len = strlen(text);
  char *copy = alloca(len + 1), other[len + 1];
  for (size_t i = 0; i < len; i++) copy[i] = text[len - 1 - i];
  copy[len] = 0;
  memcpy(other, copy, len + 1);
  return strcmp(other, text);
}

static four clamp(four a, four b) {
  four mask = a > b;
  for (int i = 0; i < 4; i++) if (mask[i]) sink++;
  return (a & ~mask) | (b & mask);
}

int main(void) {
  static const char *const words[] = { "", "level", "counter", "noon" };
  four all = { 1, 20, 3, 40 };
  for (int i = 0; i < 4; i++) {
    sink += reversed(words[i]) == 0;
    all = clamp(all + i, (four){ 5, 5, 5, 5 } * i);
  }
  int sums[64];
  for (int i = 0; i < 64; i++) sums[i] = i * sink;
  for (int i = 1; i < 64; i++) sums[i] = sums[i] > 40 ? sums[i] - sums[i / 2] : sums[i] + 1;
  return sums[63] + all[0] == -1;
}
