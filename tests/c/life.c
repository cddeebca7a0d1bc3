/* The life of candidates over the store in memory: the scenarios of tests/api, by the same names. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <sched.h>

static void a_release_hands_over_at_once_with_a_larger_token(void)
{
    struct stand stand = {.store = "memory:handover", .candidate = "a", .lease_ms = LONG_MS};
    struct elector *first = make(&stand), *second;
    char leader[64] = "";
    uint64_t old, asked;
    stand.candidate = "b";
    second = make(&stand);
    REQUIRE(lead(first));
    old = elector_token(first);
    GIVES(OK, elector_campaign(second, NULL));
    /* The lease is held. */
    CHECK(!wait_until_leader(second, 100));
    asked = elector_now_ns();
    while (elector_leader(second, leader, sizeof leader) == 0 && CHECK(since_ms(asked) < SOON_MS))
        sleep_ms(5);
    CHECK(strcmp(leader, "a") == 0 && !elector_am_i_leader(second));

    GIVES(OK, elector_release(first, SOON_MS, NULL));
    /* A notification, not the end of the lease, wakes the next. */
    CHECK(wait_until_leader(second, SOON_MS));
    CHECK(elector_token(second) > old && old > 0);
    CHECK(!elector_am_i_leader(first) && elector_token(first) == 0);
    elector_free(first);
    elector_free(second);
}

static void release_and_drain_take_effect_before_they_return(void)
{
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    struct elector *elector = NULL;
    int round;
    for (round = 0; round < 20; round++) {
        /* After some operations in a row a candidate must pause; a new one need not yet. */
        if (round % 4 == 0) {
            elector_free(elector);
            elector = candidate("memory:at-once", "a");
        }
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

/* Trust in its term lasts at least until then. */
static uint64_t trusted_until_ns(const struct elector *elector)
{
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    uint64_t asked = elector_now_ns();
    GIVES(OK, elector_get_leadership(elector, &now, NULL));
    return asked + now.trusted_for_ms * 1000000;
}

static void a_draining_leader_keeps_its_lease_until_it_is_drained(void)
{
    struct stand stand = {.store = "memory:drain", .candidate = "a", .renew_ms = 500};
    struct elector *first = make(&stand), *second = candidate("memory:drain", "b");
    uint64_t seen = 0, drained;
    REQUIRE(lead(first));
    GIVES(OK, elector_campaign(second, NULL));
    GIVES(OK, elector_drain(first, NULL));
    drained = elector_now_ns();
    CHECK(next_turn(first, &seen).event == ELECTOR_EVENT_ELECTED);
    /* A busy machine may put its term at risk meanwhile. */
    CHECK(next_event(first, &seen, ELECTOR_EVENT_STOP_NEW_WORK).event != ELECTOR_EVENT_NONE);
    /* It is still renewed: all trust that was granted before the drain ends earlier. */
    while (trusted_until_ns(first) < drained + LEASE_MS * slow * 1000000ull &&
           CHECK(since_ms(drained) < SOON_MS))
        sleep_ms(5);
    CHECK(!wait_until_leader(second, 100));
    GIVES(OK, elector_drained(first, NULL));
    GIVES(OK, elector_drained(first, NULL));
    CHECK(next_event(first, &seen, ELECTOR_EVENT_DEPOSED).reason == ELECTOR_REASON_RELEASED);
    CHECK(wait_until_leader(second, SOON_MS));
    elector_free(first);
    elector_free(second);
}

/* On a busy machine a short lease may be over before the drain; then the next term tries. */
static void a_drain_with_a_bound_is_renewed_no_more_after_it(void)
{
    struct stand stand = {.store = "memory:drain-for", .candidate = "a", .lease_ms = SHORT_MS};
    struct elector *first = make(&stand), *second = candidate("memory:drain-for", "b");
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    uint64_t seen = 0;
    do {
        REQUIRE(lead(first));
        GIVES(OK, elector_drain_for(first, 0, NULL));
        GIVES(OK, elector_get_leadership(first, &now, NULL));
        CHECK(!now.is_leader);
    } while (now.token == 0);
    GIVES(OK, elector_drain_for(first, ELECTOR_WAIT_FOREVER, NULL));
    GIVES(OK, elector_campaign(second, NULL));
    /* Its work does not end, so only its lease does. */
    CHECK(wait_until_leader(second, SOON_MS));
    GIVES(OK, elector_get_leadership(first, &now, NULL));
    CHECK(now.token == 0 && (now.reason == ELECTOR_REASON_STALLED || now.reason == ELECTOR_REASON_EXPIRED));
    CHECK(next_event(first, &seen, ELECTOR_EVENT_STOP_NEW_WORK).event != ELECTOR_EVENT_NONE);
    GIVES(OK, elector_drained(first, NULL));
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

static void the_progress_gate_does_not_stop_a_lively_host(void)
{
    struct stand stand = {.store = "memory:lively", .lease_ms = SHORT_MS, .progress_gate = true};
    struct elector *elector = make(&stand);
    struct elector_change change = ELECTOR_CHANGE_INIT;
    uint64_t half_ns = SHORT_MS * slow * 500000ull, started = elector_now_ns(), spoke = started, revision = 0;
    bool was_silent = false;
    GIVES(OK, elector_campaign(elector, NULL));
    /* A silent host would be renewed for half a lease, and trusted for less than another one. */
    while (trusted_until_ns(elector) < started + 4 * half_ns) {
        uint64_t asked = elector_now_ns();
        GIVES(OK, elector_alive(elector, NULL));
        was_silent = was_silent || elector_now_ns() - spoke > half_ns;
        spoke = asked;
        /* A slow machine may end a term, but the gate only if the host said nothing for half a lease. */
        while (elector_get_change(elector, revision + 1, &change, NULL) == ELECTOR_STATUS_OK) {
            revision++;
            was_silent = was_silent || elector_now_ns() - spoke > half_ns;
            CHECK(change.reason != ELECTOR_REASON_STALLED || was_silent);
        }
        REQUIRE(since_ms(started) < SOON_MS);
        sleep_ms(5);
    }
    elector_free(elector);
}

/* On a slow machine trust may end before the gate is asked; then a later term shows what it does. */
static void the_progress_gate_lets_a_silent_host_lose(void)
{
    struct stand stand = {.store = "memory:gated", .lease_ms = SHORT_MS, .progress_gate = true};
    struct elector *elector = make(&stand);
    struct elector_change change = ELECTOR_CHANGE_INIT;
    bool was_at_risk = false, was_warned = false;
    uint64_t seen = 0, started = elector_now_ns();
    GIVES(OK, elector_campaign(elector, NULL));
    while (change.reason != ELECTOR_REASON_STALLED) {
        REQUIRE(since_ms(started) < SOON_MS);
        change = next_turn(elector, &seen);
        if (change.event == ELECTOR_EVENT_ELECTED)
            was_at_risk = was_warned = false;
        was_at_risk = was_at_risk || change.event == ELECTOR_EVENT_AT_RISK;
        was_warned = was_warned || change.event == ELECTOR_EVENT_STOP_NEW_WORK;
        if (change.event == ELECTOR_EVENT_DEPOSED && change.reason != ELECTOR_REASON_STALLED) {
            CHECK(change.reason == ELECTOR_REASON_EXPIRED);
            GIVES(OK, elector_alive(elector, NULL));
        }
    }
    CHECK(was_at_risk && was_warned);
    /* Nor is it elected while it is silent. */
    sleep_ms(SHORT_MS * slow);
    CHECK(!elector_am_i_leader(elector));
    GIVES(OK, elector_alive(elector, NULL));
    CHECK(next_turn(elector, &seen).event == ELECTOR_EVENT_ELECTED);
    elector_free(elector);
}

static void a_strict_candidate_takes_over_only_after_a_full_lease_of_its_own_clock(void)
{
    struct stand stand = {.store = "memory:strict", .candidate = "a", .lease_ms = SHORT_MS, .strict = true};
    struct elector *first = make(&stand), *second;
    uint64_t started = elector_now_ns(), old;
    stand.candidate = "b";
    second = make(&stand);
    REQUIRE(lead(first));
    /* Even an absent row may be a lost one. */
    CHECK(since_ms(started) >= SHORT_MS * slow);
    old = elector_token(first);
    /* Read before it first looks at the row, which a slow machine may leave unchanged from then on. */
    started = elector_now_ns();
    GIVES(OK, elector_campaign(second, NULL));
    GIVES(OK, elector_release(first, SOON_MS, NULL));
    CHECK(wait_until_leader(second, SOON_MS));
    CHECK(since_ms(started) >= SHORT_MS * slow);
    CHECK(wait_for_larger_token(second, old));
    elector_free(first);
    elector_free(second);
}

/* Where Rust's scenario is dropping_the_last_handle_stands_down. */
static void freeing_does_not_release(void)
{
    struct elector_leadership left = ELECTOR_LEADERSHIP_INIT;
    struct stand stand = {.store = "memory:free", .candidate = "a", .lease_ms = SHORT_MS};
    struct elector *first = make(&stand), *second;
    uint64_t freed;
    stand.candidate = "b";
    second = make(&stand);
    do {
        /* On a slow machine the second may have taken over already. */
        GIVES(OK, elector_release(second, SOON_MS, NULL));
        REQUIRE(lead(first));
        GIVES(OK, elector_campaign(second, NULL));
        sleep_ms(100);
        /* In this order, or a pause between the two would be held against the answer. */
        freed = elector_now_ns();
        GIVES(OK, elector_get_leadership(first, &left, NULL));
    } while (left.trusted_for_ms == 0);
    elector_free(first);
    CHECK(wait_until_leader(second, SOON_MS));
    /* What the first one started while it led may have taken so long. */
    CHECK(since_ms(freed) >= left.trusted_for_ms);
    CHECK(wait_for_larger_token(second, left.token));
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
    char election[16];
    struct stand stand = {.store = "memory:free-released", .election = election, .lease_ms = LONG_MS};
    int round;
    for (round = 0; round < 20; round++) {
        bool stands_again = round % 2 == 1;
        struct elector *first, *second;
        uint64_t started, old;
        snprintf(election, sizeof election, "round %d", round);
        stand.candidate = "a";
        first = make(&stand);
        stand.candidate = "b";
        second = make(&stand);
        REQUIRE(lead(first));
        old = elector_token(first);
        GIVES(OK, elector_release(first, 0, NULL));
        if (stands_again)
            GIVES(OK, elector_campaign(first, NULL));
        elector_free(first);
        GIVES(OK, elector_campaign(second, NULL));
        started = elector_now_ns();
        /* On a busy machine it may be elected anew before it is freed, and then it keeps its lease. */
        while (!elector_am_i_leader(second) && !(stands_again && has_seen_lead(second, "a", old)) &&
               CHECK(since_ms(started) < SOON_MS))
            sleep_ms(1);
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
    TEST(a_drain_with_a_bound_is_renewed_no_more_after_it),
    TEST(campaign_and_release_may_be_repeated),
    TEST(the_progress_gate_does_not_stop_a_lively_host),
    TEST(the_progress_gate_lets_a_silent_host_lose),
    TEST(a_strict_candidate_takes_over_only_after_a_full_lease_of_its_own_clock),
    TEST(freeing_does_not_release),
    TEST(a_release_that_was_not_waited_for_is_told_although_its_elector_is_freed),
    TEST(a_release_is_confirmed_although_a_campaign_follows),
    TEST(an_elector_may_be_freed_in_any_state),
    END_OF_TESTS,
};
