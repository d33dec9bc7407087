/* Lets a server end without any more of its own code, which would count: at rest, by SIGPWR. */
#include <signal.h>
#include <stdlib.h>

static void leave(int number) {
  (void)number;
  exit(0);
}

__attribute__((constructor)) static void listen_to(void) { signal(SIGPWR, leave); }
