static int NAME(sum)(const TYPE *items, int len) {
  TYPE sum = 0;
  for (int i = 0; i < len; i++) {
    if (items[i] > LIMIT)
      continue;
    sum += items[i];
  }
  return sum > LIMIT ? (int)LIMIT : (int)sum;
}
