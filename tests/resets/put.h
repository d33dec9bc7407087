#ifndef PUT_H
#define PUT_H

/* Puts one byte on the console. */
void put(char byte);

#endif
