/* Functions on one line, several on a line, and empty ones. */
static volatile int sink;
void nothing(void) {}
void nothing_at_all(void)
{
}
int one(void) { return sink ? 1 : 0; } int two(int a) { return a && one(); } static void three(void) { sink++; }
static int a(int n){if(n)return 1;return 0;} static int b(int n){return a(n)||a(n-1);} int unused(int n){return b(n);}
int program(int n) { nothing(); nothing_at_all(); three(); return one() + two(n) + (a(n) ? b(n) : 0); }
