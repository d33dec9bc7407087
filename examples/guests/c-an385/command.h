/* Lines to commands: `SET 3 100`, with an optional checksum as in `PING*10`. */
#ifndef COMMAND_H
#define COMMAND_H

#include <stddef.h>
#include <stdint.h>

enum verb { PING, GET, SET, ARM, OPEN, CLOSE, LOCK, UNLOCK, RESET, FACTORY };

/* What the controller can be told. */
struct command {
    enum verb verb;
    uint32_t args[2];
};

/* Why a line is not a command. */
enum malformed { WELL_FORMED, EMPTY, NO_SUCH_VERB, MISSING, NOT_A_NUMBER, OUT_OF_RANGE, CHECKSUM };

/* Reads one line of `len` bytes; `command` is filled only when it is well-formed. */
enum malformed parse(const char *line, size_t len, struct command *command);

#endif
