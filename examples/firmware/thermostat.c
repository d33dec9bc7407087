/* A thermostat that goes round for ever, and has nothing in it for coverage: no counters, no runtime, no debugger's calls. */
#include <stdint.h>

enum mode { IDLE, HEATING, COOLING, BROKEN };

enum { COLD = 17, WARM = 21, HOT = 28, IMPOSSIBLE = 90 };

/* In crc16.S. */
uint32_t crc16(const uint8_t *bytes, uint32_t len_bytes);

static volatile uint32_t heater, cooler;

/* Rounds so far: shows that it runs. */
volatile uint32_t rounds;

static uint32_t noise = 0x2545f491;

/* Xorshift: 8 to 39 degrees. */
static int read_sensor(void) {
    noise ^= noise << 13;
    noise ^= noise >> 17;
    noise ^= noise << 5;
    return 8 + (int)(noise & 31);
}

static enum mode shut_down(void) {
    heater = 0;
    cooler = 0;
    return BROKEN;
}

static enum mode next(enum mode mode, int degrees) {
    if (degrees > IMPOSSIBLE)
        return shut_down();
    switch (mode) {
    case IDLE:
        if (degrees < COLD)
            return HEATING;
        if (degrees > HOT)
            return COOLING;
        return IDLE;
    case HEATING:
        return degrees > WARM ? IDLE : HEATING;
    case COOLING:
        return degrees < WARM ? IDLE : COOLING;
    default:
        return BROKEN;
    }
}

static void send(enum mode mode, int degrees) {
    uint8_t frame[3];
    frame[0] = (uint8_t)mode;
    frame[1] = (uint8_t)degrees;
    frame[2] = (uint8_t)rounds;
    if (crc16(frame, sizeof frame) > 0xffff)
        shut_down();
}

static void set_up(void) {
    heater = 0;
    cooler = 0;
}

_Noreturn void run(void) {
    enum mode mode = IDLE;
    set_up();
    for (;;) {
        int degrees = read_sensor();
        mode = next(mode, degrees);
        heater = mode == HEATING;
        cooler = mode == COOLING;
        send(mode, degrees);
        rounds++;
    }
}
