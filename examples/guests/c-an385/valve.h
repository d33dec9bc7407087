/* The controller's state machine. */
#ifndef VALVE_H
#define VALVE_H

#include <stdbool.h>

#include "command.h"

enum state {
    IDLE,    /* waiting; registers may be written */
    ARMED,   /* ready to open */
    RUNNING, /* the valve is open */
    FAULT,   /* something was wrong; only a reset helps */
    LOCKED,  /* locked with a PIN */
};

struct valve {
    enum state state;
    uint16_t registers[8];
    uint16_t pin;
    uint8_t tries;
};

/* Does what a command says. False when the state does not allow it. */
bool apply(struct valve *valve, const struct command *command);

#endif
