/* Before the program writes its files, and after all that counts has run: says so, and waits. Not instrumented. */
#include <unistd.h>

__attribute__((destructor)) static void pause_before_the_end(void) {
  char byte = '.';
  if (write(1, &byte, 1) == 1) while (read(0, &byte, 1) > 0) ;
}
