extern int data;
int program(int n) { return n ? data : 0; }
