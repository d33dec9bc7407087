/* Stops the process when all of the program has ended but what libgcov does, whose destructors have priority 99. */
#include <signal.h>
__attribute__((destructor(101))) static void stop(void) { raise(SIGSTOP); }
