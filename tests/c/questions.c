/* What may be asked of an elector, and that the answers agree. */
#define _GNU_SOURCE
#include "check.h"

static void one_read_is_consistent_with_all_others(void)
{
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    struct elector *elector = candidate("memory:read", "a");
    GIVES(OK, elector_get_leadership(elector, &now, NULL));
    CHECK(!now.is_leader && now.token == 0 && now.revision == 0);
    CHECK(now.trusted_for_ms == 0 && now.work_for_ms == 0);
    CHECK(now.reason == ELECTOR_REASON_NONE);
    REQUIRE(lead(elector));
    GIVES(OK, elector_get_leadership(elector, &now, NULL));
    CHECK(now.is_leader && now.token == elector_token(elector) && now.revision >= 1);
    CHECK(now.trusted_for_ms > 0 && now.trusted_for_ms <= 9067 * slow);
    CHECK(now.work_for_ms > 0 && now.work_for_ms < now.trusted_for_ms);
    GIVES(OK, elector_release(elector, SOON_MS, NULL));
    GIVES(OK, elector_get_leadership(elector, &now, NULL));
    CHECK(!now.is_leader && now.token == 0 && now.reason == ELECTOR_REASON_RELEASED);
    elector_free(elector);
}

static void the_inline_function_equals_the_call(void)
{
    struct elector *elector = candidate("memory:inline", "a");
    const struct elector_view *view = elector_get_view(elector);
    int round;
    CHECK(view != NULL && !elector_am_i_leader_inline(view));
    for (round = 0; round < 5; round++) {
        uint64_t until;
        REQUIRE(lead(elector));
        until = elector_now_ns() + 50 * 1000000ull;
        do {
            CHECK(elector_am_i_leader_inline(view) && elector_am_i_leader(elector));
            CHECK(__atomic_load_n(&view->token, __ATOMIC_ACQUIRE) == elector_token(elector));
        } while (elector_now_ns() < until);
        CHECK(view->trusted_until_ns > elector_now_ns());
        GIVES(OK, elector_release(elector, 0, NULL));
        CHECK(!elector_am_i_leader_inline(view) && !elector_am_i_leader(elector));
        CHECK(__atomic_load_n(&view->trusted_until_ns, __ATOMIC_ACQUIRE) == 0);
    }
    elector_free(elector);
}

static void the_clock_is_the_one_that_counts_suspended_time(void)
{
    struct timespec time;
    uint64_t before = elector_now_ns(), between, after;
    CHECK(clock_gettime(CLOCK_BOOTTIME, &time) == 0);
    between = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
    after = elector_now_ns();
    CHECK(before <= between && between <= after);
}

static void who_leads_is_told_with_its_meta_and_cut_to_the_buffer(void)
{
    struct stand stand = {.store = "memory:who", .candidate = "h\xc3\xa9l\xc3\xa8ne", .meta = "http://a:1"};
    struct elector *first = make(&stand), *second = candidate("memory:who", "b");
    char text[64];
    size_t whole = strlen(stand.candidate) + 1 + strlen(stand.meta), capacity;
    CHECK(elector_leader(second, text, sizeof text) == 0 && text[0] == '\0' && text[1] == '\0');
    REQUIRE(lead(first));
    GIVES(OK, elector_campaign(second, NULL));
    while (elector_leader(second, NULL, 0) == 0)
        sleep_ms(1);
    CHECK(elector_leader(second, text, sizeof text) == whole);
    CHECK(strcmp(text, stand.candidate) == 0 && strcmp(text + strlen(text) + 1, stand.meta) == 0);
    CHECK(elector_leader(first, text, sizeof text) == whole);
    /* Cut at a character, always with a NUL, and nothing behind the capacity is written. */
    for (capacity = 0; capacity <= whole; capacity++) {
        memset(text, '#', sizeof text);
        CHECK(elector_leader(second, text, capacity) == whole);
        CHECK(text[capacity] == '#');
        CHECK(capacity == 0 || memchr(text, '\0', capacity) != NULL);
    }
    memset(text, '#', sizeof text);
    elector_leader(second, text, 3);
    CHECK(strcmp(text, "h") == 0);
    elector_free(first);
    elector_free(second);
}

static void changes_are_numbered_from_1_on_and_say_what_happened(void)
{
    struct elector_change change = ELECTOR_CHANGE_INIT;
    struct elector *elector = candidate("memory:changes", "a");
    uint64_t token, revision, latest, seen = 0;
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    REQUIRE(lead(elector));
    token = elector_token(elector);
    change = next_event(elector, &seen, ELECTOR_EVENT_ELECTED);
    CHECK(change.token == token && change.revision == seen && change.reason == ELECTOR_REASON_NONE);
    /* After 2020, and in milliseconds. */
    CHECK(change.at_unix_ms > 1577836800000ull && change.at_unix_ms < 32503680000000ull);
    change = next_event(elector, &seen, ELECTOR_EVENT_LEADER_CHANGED);
    CHECK(strcmp(change.leader, "a") == 0);
    GIVES(OK, elector_release(elector, SOON_MS, NULL));
    change = next_event(elector, &seen, ELECTOR_EVENT_DEPOSED);
    CHECK(change.token == token && change.reason == ELECTOR_REASON_RELEASED && change.leader[0] == '\0');
    GIVES(OK, elector_get_leadership(elector, &now, NULL));
    latest = now.revision;
    for (revision = 1; revision <= latest; revision++) {
        GIVES(OK, elector_get_change(elector, revision, &change, NULL));
        CHECK(change.revision == revision && change.event != ELECTOR_EVENT_NONE);
    }
    GIVES(UNKNOWN_CHANGE, elector_get_change(elector, latest + 1, &change, NULL));
    elector_free(elector);
}

static void waiting_ends_with_a_change_or_with_the_time(void)
{
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    struct elector *elector = candidate("memory:waiting", "a");
    uint64_t started = elector_now_ns(), count;
    GIVES(TIMEOUT, elector_wait(elector, 0, 0, &now));
    GIVES(TIMEOUT, elector_wait(elector, 0, 30, &now));
    CHECK(since_ms(started) >= 30 && now.revision == 0);
    /* Another number than the latest: at once, even a larger one. */
    GIVES(OK, elector_wait(elector, 99, ELECTOR_WAIT_FOREVER, &now));
    count = elector_wait_any(UINT64_MAX, 0);
    started = elector_now_ns();
    CHECK(elector_wait_any(count, 30) == count && since_ms(started) >= 30);
    GIVES(OK, elector_campaign(elector, NULL));
    GIVES(OK, elector_wait(elector, 0, ELECTOR_WAIT_FOREVER, &now));
    CHECK(now.revision >= 1);
    CHECK(elector_wait_any(count, ELECTOR_WAIT_FOREVER) != count);
    elector_free(elector);
}

const struct test questions_tests[] = {
    TEST(one_read_is_consistent_with_all_others),
    TEST(the_inline_function_equals_the_call),
    TEST(the_clock_is_the_one_that_counts_suspended_time),
    TEST(who_leads_is_told_with_its_meta_and_cut_to_the_buffer),
    TEST(changes_are_numbered_from_1_on_and_say_what_happened),
    TEST(waiting_ends_with_a_change_or_with_the_time),
    END_OF_TESTS,
};
