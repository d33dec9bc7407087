// The program of other tests, which has a little of everything; not all of it ends, so little of it runs.
#include "../../../coverage/program.cpp"
int decisions(int n);
extern "C" int program(int n) { return n > 100 ? start(n) + decisions(n) : 0; }
