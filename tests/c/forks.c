/* A fork copies a handle's memory but not the threads that keep its lease. */
#define _GNU_SOURCE
#include "check.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void be_a_child(struct elector *elector, const struct elector_view *view)
{
    struct elector_error error;
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    struct elector_change change = ELECTOR_CHANGE_INIT;
    char text[64];
    CHECK(!elector_am_i_leader(elector) && !elector_am_i_leader_inline(view));
    CHECK(__atomic_load_n(view->forks, __ATOMIC_RELAXED) != view->forks_then);
    CHECK(elector_token(elector) == 0);
    GIVES(FORKED, elector_get_leadership(elector, &now, &error));
    CHECK(!now.is_leader && now.token == 0 && now.reason == ELECTOR_REASON_FORKED && now.revision == 0);
    CHECK(strstr(error.message, "fork") != NULL);
    now.reason = ELECTOR_REASON_NONE;
    GIVES(FORKED, elector_wait(elector, 99, ELECTOR_WAIT_FOREVER, &now));
    CHECK(now.reason == ELECTOR_REASON_FORKED);
    GIVES(FORKED, elector_get_change(elector, 1, &change, &error));
    GIVES(FORKED, elector_campaign(elector, &error));
    GIVES(FORKED, elector_connect(elector, 1000, &error));
    GIVES(FORKED, elector_release(elector, 1000, &error));
    GIVES(FORKED, elector_drain(elector, &error));
    GIVES(FORKED, elector_drained(elector, &error));
    GIVES(FORKED, elector_alive(elector, &error));
    CHECK(elector_leader(elector, text, sizeof text) == 0 && elector_guard_sql(elector, text, 64) == 0);
    CHECK(elector_last_error(elector, text, sizeof text) == 0);
    elector_free(elector);
}

static void a_forked_child_is_never_leader_and_its_parent_stays_so(void)
{
    struct elector *elector = candidate("memory:fork", "a");
    const struct elector_view *view = elector_get_view(elector);
    int child;
    REQUIRE(lead(elector));
    child = fork();
    if (child == 0) {
        be_a_child(elector, view);
        _exit(has_failed());
    }
    check_child(child);
    CHECK(elector_am_i_leader(elector) && elector_am_i_leader_inline(view) && elector_token(elector) != 0);
    elector_free(elector);
}

static void count(void *data, const struct elector_change *change)
{
    (void)change;
    __atomic_add_fetch((unsigned *)data, 1, __ATOMIC_SEQ_CST);
}

/* With callbacks, too, whose thread and locks the child does not have. */
static void a_forked_child_may_make_an_elector_of_its_own(void)
{
    unsigned calls = 0;
    struct stand stand = {.store = "memory:fork-own", .on_change = count, .user_data = &calls};
    struct elector *elector = make(&stand);
    int round;
    REQUIRE(lead(elector));
    for (round = 0; round < 5; round++) {
        int child = fork();
        if (child == 0) {
            struct elector *own = make(&stand);
            unsigned before = __atomic_load_n(&calls, __ATOMIC_SEQ_CST);
            uint64_t started = elector_now_ns();
            CHECK(lead(own));
            while (__atomic_load_n(&calls, __ATOMIC_SEQ_CST) == before && since_ms(started) < SOON_MS)
                sleep_ms(1);
            CHECK(__atomic_load_n(&calls, __ATOMIC_SEQ_CST) > before);
            elector_free(own);
            elector_free(elector);
            _exit(has_failed());
        }
        check_child(child);
    }
    CHECK(elector_am_i_leader(elector));
    elector_free(elector);
}

/* The child of the child is not leader through either handle. */
static void a_grandchild_is_never_leader(void)
{
    struct elector *elector = candidate("memory:fork-grand", "a");
    int child;
    REQUIRE(lead(elector));
    child = fork();
    if (child == 0) {
        struct elector *own = candidate("memory:fork-grand", "b");
        int grandchild;
        CHECK(lead(own));
        grandchild = fork();
        if (grandchild == 0) {
            CHECK(!elector_am_i_leader(elector) && !elector_am_i_leader(own));
            CHECK(!elector_am_i_leader_inline(elector_get_view(own)));
            _exit(has_failed());
        }
        check_child(grandchild);
        CHECK(elector_am_i_leader(own));
        _exit(has_failed());
    }
    check_child(child);
    elector_free(elector);
}

/* The thread of callbacks is, in a child that one of them makes, what the child's program runs in. */
static void fork_when_elected(void *data, const struct elector_change *change)
{
    int child;
    if (change->event != ELECTOR_EVENT_ELECTED)
        return;
    child = fork();
    if (child == 0) {
        struct elector *own = candidate("memory:fork-in-callback", "b");
        GIVES(OK, elector_connect(own, SOON_MS, NULL));
        GIVES(OK, elector_campaign(own, NULL));
        GIVES(OK, elector_wait(own, 0, SOON_MS, NULL));
        GIVES(OK, elector_release(own, SOON_MS, NULL));
        elector_free(own);
        _exit(has_failed());
    }
    __atomic_store_n((int *)data, child, __ATOMIC_SEQ_CST);
}

/* The number of the child that the callback makes. */
static int await_child(const int *child)
{
    uint64_t started = elector_now_ns();
    while (__atomic_load_n(child, __ATOMIC_SEQ_CST) == 0 && since_ms(started) < SOON_MS)
        sleep_ms(1);
    return __atomic_load_n(child, __ATOMIC_SEQ_CST);
}

static void a_child_that_a_callback_makes_may_wait(void)
{
    int child = 0;
    struct stand stand = {.store = "memory:fork-callback", .on_change = fork_when_elected,
                          .user_data = &child};
    struct elector *elector = make(&stand);
    CHECK(lead(elector));
    check_child(await_child(&child));
    elector_free(elector);
}

struct calls {
    int child;
    unsigned in_child;
    pid_t parent;
};

/* What a sanitizer finds lost in a forked child says nothing. */
static void end_at_once(void)
{
    _exit(has_failed());
}

/* Its child returns as well. */
static void fork_and_return(void *data, const struct elector_change *change)
{
    struct calls *calls = data;
    if (change->event == ELECTOR_EVENT_ELECTED) {
        int child;
        /* By then there is more to be told. */
        sleep_ms(20);
        child = fork();
        if (child == 0)
            CHECK(atexit(end_at_once) == 0);
        else
            __atomic_store_n(&calls->child, child, __ATOMIC_SEQ_CST);
    } else if (getpid() != calls->parent) {
        __atomic_add_fetch(&calls->in_child, 1, __ATOMIC_SEQ_CST);
    }
}

static void a_child_that_returns_from_a_callback_is_called_no_more_and_ends(void)
{
    const int access = PROT_READ | PROT_WRITE, kind = MAP_SHARED | MAP_ANONYMOUS;
    struct calls *calls = mmap(NULL, sizeof *calls, access, kind, -1, 0);
    struct stand stand = {.store = "memory:fork-returns", .on_change = fork_and_return, .user_data = calls};
    struct elector *elector;
    REQUIRE(calls != MAP_FAILED);
    calls->parent = getpid();
    elector = make(&stand);
    CHECK(lead(elector));
    check_child(await_child(&calls->child));
    CHECK(__atomic_load_n(&calls->in_child, __ATOMIC_SEQ_CST) == 0);
    elector_free(elector);
    munmap(calls, sizeof *calls);
}

const struct test forks_tests[] = {
    TEST(a_forked_child_is_never_leader_and_its_parent_stays_so),
    TEST(a_forked_child_may_make_an_elector_of_its_own),
    TEST(a_grandchild_is_never_leader),
    TEST(a_child_that_a_callback_makes_may_wait),
/* The child exits in a thread that has returned: there the thread sanitizer crashes in its exit handler. */
#ifndef __SANITIZE_THREAD__
    TEST(a_child_that_returns_from_a_callback_is_called_no_more_and_ends),
#endif
    END_OF_TESTS,
};
