/* The controller's state machine. */
#include "valve.h"

#include "tally.h"

enum {
    FACTORY_KEY = 0x00C0FFEE, /* unlocks the factory's settings; the script does not know it */
    ARMED_LIMIT = 900,        /* an armed controller takes no register above this */
    PRESSURE_LIMIT = 500,     /* what the valve opens against only while relieved (register 1) */
};

static void trip(struct valve *valve) {
    tally[TRIP].calls++;
    valve->state = FAULT;
}

static bool set(struct valve *valve, uint32_t index, uint32_t value) {
    if (valve->state != IDLE && valve->state != ARMED)
        return false;
    valve->registers[index & 7] = (uint16_t)value;
    if (valve->state == ARMED && value > ARMED_LIMIT)
        trip(valve);
    return true;
}

static bool enter(struct valve *valve, enum state from, enum state to) {
    if (valve->state != from)
        return false;
    valve->state = to;
    return true;
}

static bool open(struct valve *valve) {
    if (valve->state != ARMED)
        return false;
    if (valve->registers[0] > PRESSURE_LIMIT && valve->registers[1] == 0)
        trip(valve);
    else
        valve->state = RUNNING;
    return true;
}

static bool lock(struct valve *valve, uint32_t pin) {
    if (!enter(valve, IDLE, LOCKED))
        return false;
    valve->pin = (uint16_t)pin;
    valve->tries = 0;
    return true;
}

static bool unlock(struct valve *valve, uint32_t pin) {
    if (valve->state != LOCKED)
        return false;
    if (pin == valve->pin) {
        valve->state = IDLE;
        return true;
    }
    if (++valve->tries >= 3)
        trip(valve);
    return false;
}

static bool reset_fault(struct valve *valve) {
    if (!enter(valve, FAULT, IDLE))
        return false;
    for (unsigned i = 0; i < 8; i++)
        valve->registers[i] = 0;
    return true;
}

/* Never reached: stays red in every report. */
static bool factory_reset(struct valve *valve) {
    valve->pin = 0;
    return reset_fault(valve);
}

bool apply(struct valve *valve, const struct command *command) {
    tally[APPLY].calls++;
    const uint32_t *args = command->args;
    switch (command->verb) {
    case PING:
        return true;
    case GET:
        return args[0] < 8;
    case SET:
        return set(valve, args[0], args[1]);
    case ARM:
        return enter(valve, IDLE, ARMED);
    case OPEN:
        return open(valve);
    case CLOSE:
        return enter(valve, ARMED, IDLE) || enter(valve, RUNNING, IDLE);
    case LOCK:
        return lock(valve, args[0]);
    case UNLOCK:
        return unlock(valve, args[0]);
    case RESET:
        return reset_fault(valve);
    case FACTORY:
        return args[0] == FACTORY_KEY && factory_reset(valve);
    }
    return false;
}
