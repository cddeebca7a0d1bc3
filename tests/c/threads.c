/* Many threads on one handle. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 4 };

struct crowd {
    struct elector *elector;
    atomic_bool ended;
};

/* Asks everything, and checks what must hold whatever the others do. */
static void *ask_everything(void *data)
{
    struct crowd *crowd = data;
    struct elector *elector = crowd->elector;
    const struct elector_view *view = elector_get_view(elector);
    uint64_t revision = 0, token = 0;
    while (!atomic_load(&crowd->ended)) {
        struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
        struct elector_change change = ELECTOR_CHANGE_INIT;
        char text[300];
        uint64_t found = elector_token(elector);
        CHECK(found == 0 || found >= token);
        token = found > token ? found : token;
        GIVES(OK, elector_get_leadership(elector, &now, NULL));
        CHECK(now.revision >= revision && (!now.is_leader || now.token >= token));
        revision = now.revision;
        if (revision > 0 && GIVES(OK, elector_get_change(elector, revision, &change, NULL)))
            CHECK(change.revision == revision);
        elector_wait(elector, revision, 1, &now);
        elector_leader(elector, text, sizeof text);
        elector_guard_sql(elector, text, sizeof text);
        CHECK(elector_last_error(elector, text, sizeof text) == 0);
        elector_am_i_leader(elector);
        elector_am_i_leader_inline(view);
        GIVES(OK, elector_alive(elector, NULL));
        GIVES(OK, elector_connect(elector, SOON_MS, NULL));
    }
    return NULL;
}

/* Commands that contradict each other. */
static void *command(void *data)
{
    struct crowd *crowd = data;
    while (!atomic_load(&crowd->ended)) {
        GIVES(OK, elector_campaign(crowd->elector, NULL));
        elector_wait(crowd->elector, 0, 1, NULL);
        GIVES(OK, elector_drain(crowd->elector, NULL));
        GIVES(OK, elector_drained(crowd->elector, NULL));
        GIVES(OK, elector_campaign(crowd->elector, NULL));
        GIVES(OK, elector_release(crowd->elector, 0, NULL));
    }
    return NULL;
}

static void many_threads_may_use_one_handle(void)
{
    struct crowd crowd = {.elector = candidate("memory:crowd", "a")};
    pthread_t threads[2 * THREADS];
    int at;
    for (at = 0; at < 2 * THREADS; at++)
        CHECK(pthread_create(&threads[at], NULL, at < THREADS ? ask_everything : command, &crowd) == 0);
    sleep_ms(400 * slow);
    atomic_store(&crowd.ended, true);
    for (at = 0; at < 2 * THREADS; at++)
        pthread_join(threads[at], NULL);
    CHECK(lead(crowd.elector));
    GIVES(OK, elector_release(crowd.elector, SOON_MS, NULL));
    elector_free(crowd.elector);
}

static void *wait_for_a_change(void *data)
{
    GIVES(OK, elector_wait(data, 0, ELECTOR_WAIT_FOREVER, NULL));
    return NULL;
}

static void *wait_for_any_change(void *data)
{
    uint64_t count = *(uint64_t *)data;
    CHECK(elector_wait_any(count, ELECTOR_WAIT_FOREVER) != count);
    return NULL;
}

static void a_change_wakes_all_who_wait(void)
{
    struct elector *elector = candidate("memory:wakes", "a");
    uint64_t count = elector_wait_any(UINT64_MAX, 0);
    pthread_t threads[2 * THREADS];
    int at;
    for (at = 0; at < THREADS; at++) {
        CHECK(pthread_create(&threads[at], NULL, wait_for_a_change, elector) == 0);
        CHECK(pthread_create(&threads[THREADS + at], NULL, wait_for_any_change, &count) == 0);
    }
    sleep_ms(20);
    GIVES(OK, elector_campaign(elector, NULL));
    for (at = 0; at < 2 * THREADS; at++)
        pthread_join(threads[at], NULL);
    elector_free(elector);
}

static void a_thread_that_waits_can_be_called_back(void)
{
    uint64_t count = elector_wait_any(UINT64_MAX, 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_for_any_change, &count) == 0);
    sleep_ms(20);
    elector_wake();
    pthread_join(thread, NULL);
    /* A wait that begins only now has not missed the wake. */
    CHECK(elector_wait_any(count, ELECTOR_WAIT_FOREVER) != count);
}

static atomic_int woken;

static void *wait_to_be_woken(void *data)
{
    GIVES(WOKEN, elector_wait(data, 0, ELECTOR_WAIT_FOREVER, NULL));
    atomic_fetch_add(&woken, 1);
    return NULL;
}

static void a_wake_ends_waits_in_progress_and_no_later_wait(void)
{
    struct elector *electors[2] = {candidate("memory:woken", "a"), candidate("memory:woken", "b")};
    pthread_t threads[2 * THREADS];
    int at;
    elector_wake();
    GIVES(TIMEOUT, elector_wait(electors[0], 0, 10, NULL));
    for (at = 0; at < 2 * THREADS; at++)
        CHECK(pthread_create(&threads[at], NULL, wait_to_be_woken, electors[at % 2]) == 0);
    /* A thread that has not begun to wait yet does not hear it. */
    while (atomic_load(&woken) < 2 * THREADS) {
        elector_wake();
        sleep_ms(1);
    }
    for (at = 0; at < 2 * THREADS; at++)
        pthread_join(threads[at], NULL);
    elector_free(electors[0]);
    elector_free(electors[1]);
    elector_wake();
}

/* Makes, uses and frees electors of its own, at the same store as the other threads. */
static void *live(void *data)
{
    int round;
    for (round = 0; round < 20; round++) {
        char election[32];
        struct stand stand = {.store = "memory:lives", .election = election};
        struct elector *elector;
        snprintf(election, sizeof election, "e-%d-%d", (int)(intptr_t)data, round);
        elector = make(&stand);
        CHECK(lead(elector));
        elector_free(elector);
    }
    return NULL;
}

static void threads_may_make_and_free_electors_at_the_same_time(void)
{
    pthread_t threads[THREADS];
    int at;
    for (at = 0; at < THREADS; at++)
        CHECK(pthread_create(&threads[at], NULL, live, (void *)(intptr_t)at) == 0);
    for (at = 0; at < THREADS; at++)
        pthread_join(threads[at], NULL);
    CHECK(library_threads_end());
}

const struct test threads_tests[] = {
    TEST(many_threads_may_use_one_handle),
    TEST(a_change_wakes_all_who_wait),
    TEST(a_thread_that_waits_can_be_called_back),
    TEST(a_wake_ends_waits_in_progress_and_no_later_wait),
    TEST(threads_may_make_and_free_electors_at_the_same_time),
    END_OF_TESTS,
};
