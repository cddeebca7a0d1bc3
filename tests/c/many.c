/* Many electors in one process share threads, and leave nothing behind. */
#define _GNU_SOURCE
#include "check.h"

#include <stdlib.h>

static struct elector *one_of_many(int number)
{
    char election[32];
    /* A lease of a minute, so that a slow machine can keep a thousand. */
    struct stand stand = {.store = "memory:many", .election = election, .lease_ms = 60000};
    snprintf(election, sizeof election, "shared-%d", number);
    return make(&stand);
}

static void electors_of_one_store_share_two_threads_which_end_with_them(void)
{
    enum { MANY = 500 };
    struct elector **electors = calloc(MANY, sizeof *electors);
    int at;
    CHECK(library_threads_end());
    for (at = 0; at < MANY; at++)
        GIVES(OK, elector_campaign(electors[at] = one_of_many(at), NULL));
    for (at = 0; at < MANY; at++)
        CHECK(wait_until_leader(electors[at], SOON_MS));
    CHECK(library_threads() == 2);
    for (at = 0; at < MANY; at++)
        elector_free(electors[at]);
    free(electors);
    CHECK(library_threads_end());
}

/* That no memory is lost is seen by valgrind and by the leak sanitizer, which run this, too. */
static void a_thousand_electors_may_come_and_go(void)
{
    enum { MANY = 1000, AT_ONCE = 100 };
    int round, at;
    for (round = 0; round < MANY / AT_ONCE; round++) {
        struct elector *electors[AT_ONCE];
        for (at = 0; at < AT_ONCE; at++)
            GIVES(OK, elector_campaign(electors[at] = one_of_many(1000 + round * AT_ONCE + at), NULL));
        CHECK(wait_until_leader(electors[AT_ONCE - 1], SOON_MS));
        for (at = 0; at < AT_ONCE; at++)
            elector_free(electors[at]);
    }
    CHECK(library_threads_end());
}

const struct test many_tests[] = {
    TEST(electors_of_one_store_share_two_threads_which_end_with_them),
    TEST(a_thousand_electors_may_come_and_go),
    END_OF_TESTS,
};
