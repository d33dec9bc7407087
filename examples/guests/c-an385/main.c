/* The valve controller in C, and the script that uses more of it in each phase: the same lines in the same
   order as the Rust guests' crate `workload`.

   phase   enters
   0       reading
   1       writing, numbers, checksums
   2       everything that a bad line can be
   3       opening and closing the valve, faults and their reset
   4       the lock

   The factory reset is never reached, and stays red in every report. */
#include "tally.h"
#include "valve.h"

struct tally tally[TALLIES] = {
    [SEND] = {"send", 0},   [PARSE] = {"parse", 0}, [CHECK] = {"check", 0},
    [NUMBER] = {"number", 0}, [APPLY] = {"apply", 0}, [TRIP] = {"trip", 0},
};

/* One row of lines per phase. A phase sends from its own row and from every earlier one. */
enum { PHASES = 5, ROW_MAX = 7 };
static const struct {
    unsigned lines;
    const char *line[ROW_MAX];
} script[PHASES] = {
    {3, {"PING", "GET 0", "GET 3"}},
    {5, {"SET 0 100", "SET 1 7", "SET 2 999", "PING*10", "PING*1a"}},
    {7, {"", "SET 9 1", "SET 1 x", "GET", "FROB", "PING*11", "PING*1"}},
    {6, {"ARM", "OPEN", "CLOSE", "SET 0 600", "SET 1 0", "RESET"}},
    {5, {"LOCK 1234", "UNLOCK 1", "UNLOCK 1234", "FACTORY 1", "PING*zz"}},
};

static struct valve valve;

/* What became of the lines that were sent. */
static struct {
    uint32_t done, refused, malformed;
} answers;

/* Marsaglia's xorshift: the same numbers in every run. */
static uint32_t next_random(void) {
    static uint32_t random = 0x2545F491;
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    return random;
}

static void execute(const struct command *command) {
    if (apply(&valve, command))
        answers.done++;
    else
        answers.refused++;
}

static void complain(enum malformed malformed) {
    /* An empty line is not worth a complaint. */
    if (malformed != EMPTY)
        answers.malformed++;
}

static void send(const char *line) {
    tally[SEND].calls++;
    size_t len = 0;
    while (line[len] != '\0')
        len++;
    struct command command;
    enum malformed malformed = parse(line, len, &command);
    if (malformed == WELL_FORMED)
        execute(&command);
    else
        complain(malformed);
}

static void step(unsigned phase) {
    unsigned row = next_random() % (phase + 1);
    send(script[row].line[next_random() % script[row].lines]);
}

int main(void) {
    play(PHASES, step, tally, TALLIES);
}
