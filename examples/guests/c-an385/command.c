/* Lines to commands. */
#include "command.h"

#include <stdbool.h>

#include "tally.h"

/* What is left of a line. */
struct rest {
    const char *at, *end;
};

/* How a verb is written, and the largest value of each of its arguments. */
static const struct {
    const char *word;
    unsigned args;
    uint32_t max[2];
} verbs[] = {
    [PING] = {"PING", 0, {0}},
    [GET] = {"GET", 1, {7}},
    [SET] = {"SET", 2, {7, 1000}},
    [ARM] = {"ARM", 0, {0}},
    [OPEN] = {"OPEN", 0, {0}},
    [CLOSE] = {"CLOSE", 0, {0}},
    [LOCK] = {"LOCK", 1, {9999}},
    [UNLOCK] = {"UNLOCK", 1, {9999}},
    [RESET] = {"RESET", 0, {0}},
    [FACTORY] = {"FACTORY", 1, {UINT32_MAX}},
};
enum { VERBS = sizeof verbs / sizeof verbs[0] };

static int hex_digit(char byte) {
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return -1;
}

/* Whether two hexadecimal digits at `sum` are the checksum of the bytes before the star: all of them xored. */
static enum malformed check(const char *line, const char *star, const char *end) {
    tally[CHECK].calls++;
    if (end - star != 3)
        return CHECKSUM;
    int high = hex_digit(star[1]), low = hex_digit(star[2]);
    if (high < 0 || low < 0)
        return CHECKSUM;
    uint8_t sum = 0;
    while (line < star)
        sum ^= (uint8_t)*line++;
    return sum == (high << 4 | low) ? WELL_FORMED : CHECKSUM;
}

/* Takes the next word; an empty one when none is left. */
static struct rest next_word(struct rest *line) {
    while (line->at < line->end && *line->at == ' ')
        line->at++;
    struct rest word = {line->at, line->at};
    while (word.end < line->end && *word.end != ' ')
        word.end++;
    line->at = word.end;
    return word;
}

static bool same(struct rest word, const char *text) {
    while (word.at < word.end && *word.at == *text) {
        word.at++;
        text++;
    }
    return word.at == word.end && *text == '\0';
}

static enum malformed number(struct rest word, uint32_t max, uint32_t *value) {
    tally[NUMBER].calls++;
    if (word.at == word.end)
        return MISSING;
    uint64_t sum = 0;
    for (; word.at < word.end; word.at++) {
        if (*word.at < '0' || *word.at > '9')
            return NOT_A_NUMBER;
        sum = sum * 10 + (uint64_t)(*word.at - '0');
        if (sum > max)
            return OUT_OF_RANGE;
    }
    *value = (uint32_t)sum;
    return WELL_FORMED;
}

static const char *find_star(struct rest line) {
    while (line.at < line.end && *line.at != '*')
        line.at++;
    return line.at;
}

enum malformed parse(const char *line, size_t len, struct command *command) {
    tally[PARSE].calls++;
    struct rest rest = {line, line + len};
    const char *star = find_star(rest);
    if (star < rest.end) {
        enum malformed checked = check(line, star, rest.end);
        if (checked != WELL_FORMED)
            return checked;
        rest.end = star;
    }
    struct rest word = next_word(&rest);
    if (word.at == word.end)
        return EMPTY;
    for (unsigned verb = 0; verb < VERBS; verb++) {
        if (!same(word, verbs[verb].word))
            continue;
        command->verb = (enum verb)verb;
        for (unsigned i = 0; i < verbs[verb].args; i++) {
            enum malformed malformed = number(next_word(&rest), verbs[verb].max[i], &command->args[i]);
            if (malformed != WELL_FORMED)
                return malformed;
        }
        return WELL_FORMED;
    }
    return NO_SUCH_VERB;
}
