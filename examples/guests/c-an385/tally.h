/* The functions that count their own calls, to compare coverage counters with. */
#ifndef TALLY_H
#define TALLY_H

#include "board.h"

enum { SEND, PARSE, CHECK, NUMBER, APPLY, TRIP, TALLIES };

extern struct tally tally[TALLIES];

#endif
