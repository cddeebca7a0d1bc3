/* The life of candidates over the store in memory: the scenarios of tests/elector.rs, by the same names. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <sched.h>

static void a_release_hands_over_at_once_with_a_larger_token(void)
{
    struct stand stand = {.store = "memory:handover", .candidate = "a", .lease_ms = 3000};
    struct elector *first = make(&stand), *second;
    char leader[64];
    uint64_t old, released;
    stand.candidate = "b";
    second = make(&stand);
    REQUIRE(lead(first));
    old = elector_token(first);
    GIVES(OK, elector_campaign(second, NULL));
    /* The lease is held. */
    CHECK(!wait_until_leader(second, 100));
    CHECK(elector_leader(second, leader, sizeof leader) > 0 && strcmp(leader, "a") == 0);

    released = elector_now_ns();
    GIVES(OK, elector_release(first, SOON_MS, NULL));
    CHECK(wait_until_leader(second, SOON_MS));
    /* A notification, not the end of the lease, wakes the next. */
    CHECK(since_ms(released) < 1500 * slow);
    CHECK(elector_token(second) > old && old > 0);
    CHECK(!elector_am_i_leader(first) && elector_token(first) == 0);
    elector_free(first);
    elector_free(second);
}

static void release_and_drain_take_effect_before_they_return(void)
{
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    struct elector *elector = candidate("memory:at-once", "a");
    int round;
    for (round = 0; round < 20; round++) {
        REQUIRE(lead(elector));
        GIVES(OK, elector_release(elector, 0, NULL));
        CHECK(!elector_am_i_leader(elector) && elector_token(elector) == 0);
        CHECK(!elector_am_i_leader_inline(elector_get_view(elector)));
        REQUIRE(lead(elector));
        GIVES(OK, elector_drain(elector, NULL));
        CHECK(!elector_am_i_leader(elector));
        GIVES(OK, elector_get_leadership(elector, &now, NULL));
        CHECK(!now.is_leader && now.token != 0 && now.trusted_for_ms > 0);
        GIVES(OK, elector_drained(elector, NULL));
        GIVES(OK, elector_get_leadership(elector, &now, NULL));
        CHECK(!now.is_leader && now.token == 0 && now.reason == ELECTOR_REASON_RELEASED);
    }
    elector_free(elector);
}

static void a_draining_leader_keeps_its_lease_until_it_is_drained(void)
{
    struct elector *first = candidate("memory:drain", "a"), *second = candidate("memory:drain", "b");
    uint64_t seen = 0;
    REQUIRE(lead(first));
    GIVES(OK, elector_campaign(second, NULL));
    GIVES(OK, elector_drain(first, NULL));
    CHECK(next_turn(first, &seen).event == ELECTOR_EVENT_ELECTED);
    CHECK(next_turn(first, &seen).event == ELECTOR_EVENT_STOP_NEW_WORK);
    /* Longer than the lease: it is still renewed. */
    CHECK(!wait_until_leader(second, 900 * slow));
    GIVES(OK, elector_drained(first, NULL));
    GIVES(OK, elector_drained(first, NULL));
    CHECK(next_turn(first, &seen).reason == ELECTOR_REASON_RELEASED);
    CHECK(wait_until_leader(second, SOON_MS));
    elector_free(first);
    elector_free(second);
}

static void campaign_and_release_may_be_repeated(void)
{
    struct elector *elector = candidate("memory:repeated", "a");
    uint64_t token;
    GIVES(OK, elector_release(elector, 0, NULL));
    GIVES(OK, elector_drained(elector, NULL));
    REQUIRE(lead(elector));
    token = elector_token(elector);
    GIVES(OK, elector_campaign(elector, NULL));
    CHECK(elector_token(elector) == token);
    GIVES(OK, elector_release(elector, SOON_MS, NULL));
    GIVES(OK, elector_release(elector, SOON_MS, NULL));
    GIVES(OK, elector_drain(elector, NULL));
    GIVES(OK, elector_alive(elector, NULL));
    CHECK(!elector_am_i_leader(elector));
    REQUIRE(lead(elector));
    CHECK(elector_token(elector) > token);
    elector_free(elector);
}

static void the_progress_gate_lets_a_silent_host_lose(void)
{
    struct stand stand = {.store = "memory:gated", .progress_gate = true};
    struct elector *elector = make(&stand);
    uint64_t lively, seen = 0;
    REQUIRE(lead(elector));
    CHECK(next_turn(elector, &seen).event == ELECTOR_EVENT_ELECTED);
    lively = elector_now_ns();
    while (since_ms(lively) < 900 * slow) {
        GIVES(OK, elector_alive(elector, NULL));
        CHECK(elector_am_i_leader(elector));
        sleep_ms(20);
    }
    CHECK(next_turn(elector, &seen).event == ELECTOR_EVENT_AT_RISK);
    CHECK(next_turn(elector, &seen).event == ELECTOR_EVENT_STOP_NEW_WORK);
    CHECK(next_turn(elector, &seen).reason == ELECTOR_REASON_STALLED);
    CHECK(!elector_am_i_leader(elector));
    GIVES(OK, elector_alive(elector, NULL));
    CHECK(next_turn(elector, &seen).event == ELECTOR_EVENT_ELECTED);
    elector_free(elector);
}

static void a_strict_candidate_takes_over_only_after_a_full_lease_of_its_own_clock(void)
{
    struct stand stand = {.store = "memory:strict", .candidate = "a", .strict = true};
    struct elector *first = make(&stand), *second;
    uint64_t started = elector_now_ns(), old;
    stand.candidate = "b";
    second = make(&stand);
    REQUIRE(lead(first));
    /* Even an absent row may be a lost one. */
    CHECK(since_ms(started) >= 600 * slow);
    old = elector_token(first);
    GIVES(OK, elector_campaign(second, NULL));
    started = elector_now_ns();
    GIVES(OK, elector_release(first, SOON_MS, NULL));
    CHECK(wait_until_leader(second, SOON_MS));
    CHECK(since_ms(started) >= 600 * slow);
    CHECK(elector_token(second) > old);
    elector_free(first);
    elector_free(second);
}

/* Where Rust's scenario is dropping_the_last_handle_stands_down. */
static void freeing_does_not_release_and_is_prompt(void)
{
    struct elector_leadership left = ELECTOR_LEADERSHIP_INIT;
    struct stand stand = {.store = "memory:free", .candidate = "a", .lease_ms = 2000};
    struct elector *first = make(&stand), *second;
    uint64_t freed, old;
    stand.candidate = "b";
    second = make(&stand);
    REQUIRE(lead(first));
    old = elector_token(first);
    GIVES(OK, elector_campaign(second, NULL));
    sleep_ms(100);
    /* In this order, or a pause between the two would be held against the answer. */
    freed = elector_now_ns();
    GIVES(OK, elector_get_leadership(first, &left, NULL));
    elector_free(first);
    CHECK(since_ms(freed) < 500 * slow);
    CHECK(wait_until_leader(second, SOON_MS));
    /* What the first one started while it led may have taken so long. */
    CHECK(left.trusted_for_ms > 0 && since_ms(freed) >= left.trusted_for_ms);
    CHECK(elector_token(second) > old);
    elector_free(second);
}

/* Whether this candidate saw another one lead in a term after that. */
static bool has_seen_lead(const struct elector *elector, const char *leader, uint64_t token)
{
    struct elector_change change = ELECTOR_CHANGE_INIT;
    uint64_t revision;
    for (revision = 1; elector_get_change(elector, revision, &change, NULL) == ELECTOR_STATUS_OK; revision++)
        if (change.event == ELECTOR_EVENT_LEADER_CHANGED && strcmp(change.leader, leader) == 0 &&
            change.token > token)
            return true;
    return false;
}

static void a_release_that_was_not_waited_for_is_told_although_its_elector_is_freed(void)
{
    struct stand stand = {.store = "memory:free-released", .lease_ms = 8000};
    int round;
    for (round = 0; round < 20; round++) {
        bool stands_again = round % 2 == 1;
        struct elector *first, *second;
        uint64_t released, old;
        stand.candidate = "a";
        first = make(&stand);
        stand.candidate = "b";
        second = make(&stand);
        REQUIRE(lead(first));
        old = elector_token(first);
        released = elector_now_ns();
        GIVES(OK, elector_release(first, 0, NULL));
        if (stands_again)
            GIVES(OK, elector_campaign(first, NULL));
        elector_free(first);
        REQUIRE(lead(second));
        /* On a busy machine it may be elected anew before it is freed, and then it keeps its lease. */
        CHECK(since_ms(released) < 5000 || (stands_again && has_seen_lead(second, "a", old)));
        GIVES(OK, elector_release(second, SOON_MS, NULL));
        elector_free(second);
    }
}

static void *release(void *data)
{
    GIVES(OK, elector_release(data, SOON_MS, NULL));
    return NULL;
}

static void a_release_is_confirmed_although_a_campaign_follows(void)
{
    struct elector *elector = candidate("memory:campaign-follows", "a");
    int round;
    GIVES(OK, elector_campaign(elector, NULL));
    for (round = 0; round < 20; round++) {
        pthread_t thread;
        /* No release undoes the campaign that followed it. */
        REQUIRE(wait_until_leader(elector, SOON_MS));
        REQUIRE(pthread_create(&thread, NULL, release, elector) == 0);
        while (elector_am_i_leader(elector))
            sched_yield();
        GIVES(OK, elector_campaign(elector, NULL));
        pthread_join(thread, NULL);
    }
    elector_free(elector);
}

static void an_elector_may_be_freed_in_any_state(void)
{
    struct elector *elector = candidate("memory:any-state", "a");
    elector_free(elector);
    elector = candidate("memory:any-state", "a");
    GIVES(OK, elector_campaign(elector, NULL));
    elector_free(elector);
    elector = candidate("memory:any-state-draining", "a");
    CHECK(lead(elector));
    GIVES(OK, elector_drain(elector, NULL));
    elector_free(elector);
    CHECK(library_threads_end());
}

const struct test life_tests[] = {
    TEST(a_release_hands_over_at_once_with_a_larger_token),
    TEST(release_and_drain_take_effect_before_they_return),
    TEST(a_draining_leader_keeps_its_lease_until_it_is_drained),
    TEST(campaign_and_release_may_be_repeated),
    TEST(the_progress_gate_lets_a_silent_host_lose),
    TEST(a_strict_candidate_takes_over_only_after_a_full_lease_of_its_own_clock),
    TEST(freeing_does_not_release_and_is_prompt),
    TEST(a_release_that_was_not_waited_for_is_told_although_its_elector_is_freed),
    TEST(a_release_is_confirmed_although_a_campaign_follows),
    TEST(an_elector_may_be_freed_in_any_state),
    END_OF_TESTS,
};
