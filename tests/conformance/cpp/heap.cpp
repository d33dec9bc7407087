// hosted: objects that are made and deleted, some through their base.
static volatile int sink;
struct node { node *next = nullptr; int v; explicit node(int n) : v(n ? n : 1) {} virtual ~node() { if (v > 2) sink++; delete next; } };
struct leaf : node { leaf(int n) : node(n) {} ~leaf() override { sink += v ? 1 : 2; } };
extern "C" int program(int n) {
  node *head = nullptr;
  for (int i = 0; i < n; i++) { node *made = i & 1 ? new leaf(i) : new node(i); made->next = head; head = made; }
  int sum = 0;
  for (node *at = head; at; at = at->next) sum += at->v;
  delete head;
  auto *array = new int[3]{ n, n ? 1 : 2, 3 };
  sum += array[1];
  delete[] array;
  return sum;
}
