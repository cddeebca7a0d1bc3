/* Callbacks: in order, on one thread, never after the end, and free to call back. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* What one elector's callback was told. Only its thread writes, and `count` last. */
struct told {
    atomic_uint count;
    pthread_t thread;
    uint64_t last_revision;
    bool in_order, one_thread;
};

static void note(void *data, const struct elector_change *change)
{
    struct told *told = data;
    unsigned count = atomic_load(&told->count);
    if (count == 0) {
        told->thread = pthread_self();
        told->in_order = told->one_thread = true;
    }
    told->in_order = told->in_order && change->revision == told->last_revision + 1;
    told->one_thread = told->one_thread && pthread_equal(told->thread, pthread_self());
    told->last_revision = change->revision;
    CHECK(change->struct_size == sizeof *change);
    atomic_store(&told->count, count + 1);
}

static bool wait_for_count(atomic_uint *count, unsigned wanted)
{
    uint64_t started = elector_now_ns();
    while (atomic_load(count) < wanted && since_ms(started) < SOON_MS)
        sleep_ms(1);
    return atomic_load(count) >= wanted;
}

static void changes_are_told_in_order_without_gaps_on_one_thread(void)
{
    struct told told[2] = {{.count = 0}, {.count = 0}};
    struct stand stand = {.store = "memory:told", .on_change = note};
    struct elector *electors[2];
    int at, round;
    for (at = 0; at < 2; at++) {
        stand.election = at == 0 ? "one" : "other";
        stand.user_data = &told[at];
        electors[at] = make(&stand);
    }
    for (round = 0; round < 10; round++)
        for (at = 0; at < 2; at++) {
            REQUIRE(lead(electors[at]));
            GIVES(OK, elector_release(electors[at], 0, NULL));
        }
    for (at = 0; at < 2; at++) {
        struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
        GIVES(OK, elector_release(electors[at], SOON_MS, NULL));
        GIVES(OK, elector_get_leadership(electors[at], &now, NULL));
        CHECK(now.revision >= 20 && wait_for_count(&told[at].count, (unsigned)now.revision));
    }
    elector_free(electors[0]);
    elector_free(electors[1]);
    CHECK(told[0].in_order && told[1].in_order && told[0].one_thread && told[1].one_thread);
    CHECK(pthread_equal(told[0].thread, told[1].thread) && !pthread_equal(told[0].thread, pthread_self()));
    CHECK(library_threads_end());
}

struct caller {
    struct elector *elector;
    atomic_bool is_ready;
    atomic_uint calls;
};

static void call_back(void *data, const struct elector_change *change)
{
    struct caller *caller = data;
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    struct elector_change copy = ELECTOR_CHANGE_INIT;
    struct elector_error error;
    struct elector *elector, *another;
    char text[64];
    while (!atomic_load(&caller->is_ready))
        sleep_ms(1);
    elector = caller->elector;
    if (atomic_fetch_add(&caller->calls, 1) > 0)
        return;
    CHECK(elector_am_i_leader(elector) && elector_token(elector) == change->token);
    GIVES(OK, elector_get_leadership(elector, &now, &error));
    GIVES(OK, elector_get_change(elector, change->revision, &copy, &error));
    CHECK(copy.token == change->token && copy.at_unix_ms == change->at_unix_ms);
    elector_leader(elector, text, sizeof text);
    elector_last_error(elector, text, sizeof text);
    GIVES(OK, elector_campaign(elector, &error));
    GIVES(OK, elector_alive(elector, &error));
    GIVES(OK, elector_wait(elector, 0, 0, &now));
    another = candidate("memory:another", "b");
    GIVES(OK, elector_campaign(another, &error));
    elector_free(another);

    GIVES(IN_CALLBACK, elector_wait(elector, now.revision, 1000, &now));
    GIVES(IN_CALLBACK, elector_wait(elector, 0, ELECTOR_WAIT_FOREVER, NULL));
    GIVES(IN_CALLBACK, elector_connect(elector, 1000, &error));
    CHECK(strstr(error.message, "elector_connect") != NULL);
    elector_wait_any(elector_wait_any(UINT64_MAX, 0), ELECTOR_WAIT_FOREVER);
    GIVES(IN_CALLBACK, elector_release(elector, 1000, &error));
    CHECK(!elector_am_i_leader(elector));
    GIVES(OK, elector_release(elector, 0, &error));
    GIVES(OK, elector_drain(elector, &error));
    GIVES(OK, elector_drained(elector, &error));
}

static void a_callback_may_call_all_but_what_waits(void)
{
    struct caller caller = {.calls = 0};
    struct stand stand = {.store = "memory:calls-back", .on_change = call_back, .user_data = &caller};
    caller.elector = make(&stand);
    GIVES(OK, elector_campaign(caller.elector, NULL));
    atomic_store(&caller.is_ready, true);
    /* Elected, who leads, deposed. */
    CHECK(wait_for_count(&caller.calls, 3));
    elector_free(caller.elector);
}

static void free_itself(void *data, const struct elector_change *change)
{
    struct caller *caller = data;
    (void)change;
    while (!atomic_load(&caller->is_ready))
        sleep_ms(1);
    elector_free(caller->elector);
    atomic_fetch_add(&caller->calls, 1);
}

static void an_elector_may_be_freed_by_its_own_callback(void)
{
    struct caller caller = {.calls = 0};
    struct stand stand = {.store = "memory:frees", .on_change = free_itself, .user_data = &caller};
    caller.elector = make(&stand);
    GIVES(OK, elector_campaign(caller.elector, NULL));
    atomic_store(&caller.is_ready, true);
    CHECK(wait_for_count(&caller.calls, 1));
    sleep_ms(50);
    CHECK(atomic_load(&caller.calls) == 1);
    CHECK(library_threads_end());
}

struct work {
    atomic_uint elected, deposed;
    atomic_bool is_done;
};

/* Works inside of ELECTED, until it is told that it is done. */
static void work(void *data, const struct elector_change *change)
{
    struct work *work = data;
    if (change->event == ELECTOR_EVENT_DEPOSED)
        atomic_fetch_add(&work->deposed, 1);
    if (change->event != ELECTOR_EVENT_ELECTED)
        return;
    atomic_fetch_add(&work->elected, 1);
    while (!atomic_load(&work->is_done))
        sleep_ms(1);
}

/* While the callback of one elector works, another elector is elected, and its callback is not called. */
static void a_term_of_which_no_callback_was_told_ends_and_one_whose_callback_works_goes_on(void)
{
    struct work busy = {.elected = 0}, untold = {.elected = 0};
    struct stand stand = {.store = "memory:untold", .election = "busy", .on_change = work,
                          .user_data = &busy};
    struct elector *worker, *waiter;
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    uint64_t token, started;
    atomic_store(&untold.is_done, true);
    worker = make(&stand);
    REQUIRE(lead(worker) && wait_for_count(&busy.elected, 1));
    token = elector_token(worker);
    stand.election = "untold";
    stand.user_data = &untold;
    waiter = make(&stand);
    REQUIRE(lead(waiter));
    started = elector_now_ns();
    /* The answer is "no" a moment before the reason is known. */
    while (now.reason == ELECTOR_REASON_NONE && since_ms(started) < SOON_MS) {
        sleep_ms(1);
        GIVES(OK, elector_get_leadership(waiter, &now, NULL));
    }
    CHECK(!now.is_leader && now.reason == ELECTOR_REASON_STALLED && atomic_load(&untold.elected) == 0);
    CHECK(elector_token(worker) == token);
    /* It does not stand either, until what waits is told. */
    sleep_ms(500);
    CHECK(!elector_am_i_leader(waiter));
    atomic_store(&busy.is_done, true);
    CHECK(wait_for_count(&untold.deposed, 1) && wait_for_count(&untold.elected, 2));
    CHECK(elector_am_i_leader(waiter) && elector_token(worker) == token);
    elector_free(waiter);
    elector_free(worker);
}

struct busy {
    atomic_bool is_inside, is_freed;
    atomic_uint calls;
};

static void be_slow(void *data, const struct elector_change *change)
{
    struct busy *busy = data;
    (void)change;
    CHECK(!atomic_load(&busy->is_freed));
    atomic_fetch_add(&busy->calls, 1);
    atomic_store(&busy->is_inside, true);
    sleep_ms(50);
    CHECK(!atomic_load(&busy->is_freed));
    atomic_store(&busy->is_inside, false);
}

static void log_slowly(void *data, int32_t level, const char *message)
{
    (void)level;
    CHECK(message[0] != '\0');
    be_slow(data, NULL);
}

static void nothing_is_called_once_free_has_returned(void)
{
    int round;
    for (round = 0; round < 5; round++) {
        struct busy busy = {.calls = 0};
        struct stand stand = {.store = "memory:ends", .on_change = be_slow, .on_log = log_slowly,
                              .user_data = &busy};
        struct elector *elector = make(&stand);
        GIVES(OK, elector_campaign(elector, NULL));
        /* If this thread sleeps through all callbacks, the round shows nothing, and there are others. */
        while (!atomic_load(&busy.is_inside) && atomic_load(&busy.calls) == 0)
            sleep_ms(1);
        GIVES(OK, elector_release(elector, 0, NULL));
        elector_free(elector);
        CHECK(!atomic_load(&busy.is_inside));
        atomic_store(&busy.is_freed, true);
        sleep_ms(20);
    }
}

struct lines {
    atomic_uint count, elected;
};

static void count_lines(void *data, int32_t level, const char *message)
{
    struct lines *lines = data;
    CHECK(level >= ELECTOR_LOG_LEVEL_ERROR && level <= ELECTOR_LOG_LEVEL_DEBUG);
    if (strstr(message, "lected") != NULL && strstr(message, "election") != NULL)
        atomic_fetch_add(&lines->elected, 1);
    atomic_fetch_add(&lines->count, 1);
}

/* Five electors log to one place and one to another: each place hears each of the six terms once. */
static void a_log_line_is_told_once_to_each_function_and_its_data(void)
{
    struct lines shared = {.count = 0}, own = {.count = 0};
    struct stand stand = {.store = "memory:logs", .on_log = count_lines};
    struct elector *electors[6];
    char election[8] = "e-0";
    int at;
    for (at = 0; at < 6; at++) {
        election[2] = (char)('0' + at);
        stand.election = election;
        stand.user_data = at < 5 ? &shared : &own;
        electors[at] = make(&stand);
    }
    for (at = 0; at < 6; at++)
        CHECK(lead(electors[at]));
    CHECK(wait_for_count(&shared.elected, 6) && wait_for_count(&own.elected, 6));
    sleep_ms(20);
    CHECK(atomic_load(&shared.elected) == 6 && atomic_load(&own.elected) == 6);
    for (at = 0; at < 6; at++)
        elector_free(electors[at]);
}

static atomic_bool takes_signals;

static void look_at_signals(void *data, const struct elector_change *change)
{
    sigset_t mask;
    (void)change;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (!sigismember(&mask, SIGTERM) || !sigismember(&mask, SIGPIPE) || sigismember(&mask, SIGSEGV))
        atomic_store(&takes_signals, true);
    atomic_fetch_add((atomic_uint *)data, 1);
}

static void threads_of_the_library_take_no_signals(void)
{
    atomic_uint calls = 0;
    struct stand stand = {.store = "memory:signals", .on_change = look_at_signals, .user_data = &calls};
    struct elector *elector = make(&stand);
    sigset_t mask;
    CHECK(lead(elector) && wait_for_count(&calls, 1));
    elector_free(elector);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    CHECK(!atomic_load(&takes_signals) && !sigismember(&mask, SIGTERM));
}

const struct test callbacks_tests[] = {
    TEST(changes_are_told_in_order_without_gaps_on_one_thread),
    TEST(a_callback_may_call_all_but_what_waits),
    TEST(an_elector_may_be_freed_by_its_own_callback),
    TEST(a_term_of_which_no_callback_was_told_ends_and_one_whose_callback_works_goes_on),
    TEST(nothing_is_called_once_free_has_returned),
    TEST(a_log_line_is_told_once_to_each_function_and_its_data),
    TEST(threads_of_the_library_take_no_signals),
    END_OF_TESTS,
};
