/* Lines on the console of either machine. */
#include "guest.h"
#include "put.h"

static void print(const char *text) {
    while (*text)
        put(*text++);
}

static void print_number(uint32_t number) {
    if (number >= 10)
        print_number(number / 10);
    put((char)('0' + number % 10));
}

void say(const char *first, uint32_t number, const char *second, uint32_t second_number) {
    print(first);
    print_number(number);
    print(second);
    print_number(second_number);
    print("\n");
}

void say_rest(void) { print("rest\n"); }
