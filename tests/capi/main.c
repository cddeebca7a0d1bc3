/* Runs the C tests that the command line names, by test or by suite, or all: `capi life callbacks`. */
#define _GNU_SOURCE
#include "check.h"

#include <stdlib.h>
#include <unistd.h>

#define SUITES(suite) \
    suite(header) suite(options) suite(pointers) suite(sizes) suite(statuses) suite(life) suite(store) \
    suite(questions) suite(threads) suite(callbacks) suite(forks) suite(machine) suite(replies) suite(sql) \
    suite(server) suite(many)

#define DECLARE(suite) extern const struct test suite##_tests[];
SUITES(DECLARE)

static const struct {
    const char *name;
    const struct test *tests;
} suites[] = {
#define ROW(suite) {#suite, suite##_tests},
    SUITES(ROW)
};

static bool is_wanted(const char *suite, const char *test, int count, char **names)
{
    int at;
    for (at = 1; at < count; at++)
        if (strcmp(names[at], suite) == 0 || strcmp(names[at], test) == 0)
            return true;
    return count < 2;
}

int main(int count, char **names)
{
    unsigned passed = 0, failures = 0;
    size_t at;
    const char *factor = getenv("ELECTOR_TEST_SLOW");
    if (factor != NULL)
        slow = (unsigned)atoi(factor);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (at = 0; at < sizeof suites / sizeof suites[0]; at++) {
        const struct test *test;
        for (test = suites[at].tests; test->name != NULL; test++) {
            if (!is_wanted(suites[at].name, test->name, count, names))
                continue;
            /* A test that hangs is killed. */
            alarm(60 * slow);
            test->run();
            if (has_failed()) {
                failures++;
                printf("FAILED %s: %s\n", suites[at].name, test->name);
            } else {
                passed++;
            }
        }
    }
    printf("%u passed, %u failed\n", passed, failures);
    return failures == 0 && passed > 0 ? 0 : 1;
}
