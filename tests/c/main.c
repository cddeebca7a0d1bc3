/* Runs the C tests that the command line names, by test or by suite: `capi life callbacks`. `capi ordinary`
 * runs every suite but two: `limits` lowers a limit of the process, which valgrind and sanitizers do not
 * survive, and `timed` has upper bounds on real time. With no name it runs all. */
#define _GNU_SOURCE
#include "check.h"

#include <stdlib.h>
#include <unistd.h>

/* The suites that fork come first: a fork waits until the library has no thread, and a release that is not
 * confirmed, as where the database was deleted, keeps its threads until the lease ends. */
#define SUITES(suite) \
    suite(forks) suite(descriptors) suite(header) suite(options) suite(pointers) suite(sizes) \
    suite(statuses) suite(life) suite(store) suite(questions) suite(threads) suite(callbacks) \
    suite(machine) suite(replies) suite(sql) suite(server) suite(many)
#define SPECIAL_SUITES(suite) suite(limits) suite(timed)

#define DECLARE(suite) extern const struct test suite##_tests[];
SUITES(DECLARE)
SPECIAL_SUITES(DECLARE)

static const struct {
    const char *name;
    bool is_ordinary;
    const struct test *tests;
} suites[] = {
#define ORDINARY(suite) {#suite, true, suite##_tests},
#define SPECIAL(suite) {#suite, false, suite##_tests},
    SUITES(ORDINARY) SPECIAL_SUITES(SPECIAL)
};

static bool is_wanted(size_t suite, const char *test, int count, char **names)
{
    int at;
    for (at = 1; at < count; at++)
        if (strcmp(names[at], suites[suite].name) == 0 || strcmp(names[at], test) == 0 ||
            (suites[suite].is_ordinary && strcmp(names[at], "ordinary") == 0))
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
            if (!is_wanted(at, test->name, count, names))
                continue;
            /* A test that hangs is killed. */
            alarm(300 * slow);
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
