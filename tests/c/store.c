/* The store in a file, and what a candidate does when it fails. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <unistd.h>

static const char *path_of(const char *url)
{
    return url + strlen("sqlite:");
}

/* Takes the lock of SQLite's writers (byte 120 of the shared-memory file), or gives it back, as another
 * process that is stopped in the middle of a transaction holds it. An open-file-description lock, so that
 * it also holds against this process. */
static int block_writers(const char *url)
{
    char name[300];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 120, .l_len = 1};
    int file;
    snprintf(name, sizeof name, "%s-shm", path_of(url));
    file = open(name, O_RDWR | O_CLOEXEC);
    CHECK(file >= 0 && fcntl(file, F_OFD_SETLKW, &lock) == 0);
    return file;
}

static void a_candidate_leads_over_a_file_and_connecting_says_that_it_works(void)
{
    struct elector_error error;
    struct elector *elector = candidate(sqlite_store("works"), "a");
    GIVES(OK, elector_connect(elector, SOON_MS, &error));
    CHECK(error.message[0] == '\0');
    GIVES(OK, elector_connect(elector, SOON_MS, &error));
    CHECK(lead(elector));
    GIVES(OK, elector_release(elector, SOON_MS, &error));
    elector_free(elector);
}

static void a_deleted_file_ends_leadership(void)
{
    const char *url = sqlite_store("deleted");
    struct elector *elector = candidate(url, "a");
    uint64_t seen = 0;
    REQUIRE(lead(elector));
    CHECK(unlink(path_of(url)) == 0);
    CHECK(next_turn(elector, &seen).event == ELECTOR_EVENT_ELECTED);
    CHECK(next_turn(elector, &seen).reason == ELECTOR_REASON_REVOKED);
    elector_free(elector);
}

/* With a short lease, since a new file is led in only after a lease: others may still trust the old one. */
static void a_file_anew_is_led_in_with_a_larger_token(void)
{
    const char *url = sqlite_store("anew");
    struct stand stand = {.store = url, .lease_ms = SHORT_MS};
    struct elector *elector = make(&stand);
    uint64_t old, seen = 0, started;
    REQUIRE(lead(elector));
    old = next_event(elector, &seen, ELECTOR_EVENT_ELECTED).token;
    CHECK(unlink(path_of(url)) == 0);
    started = elector_now_ns();
    while (access(path_of(url), F_OK) != 0 && CHECK(since_ms(started) < SOON_MS))
        sleep_ms(5);
    CHECK(old > 0 && wait_for_larger_token(elector, old));
    elector_free(elector);
}

static void trust_ends_by_the_clock_alone_when_the_store_hangs(void)
{
    const char *url = sqlite_store("hangs");
    struct stand stand = {.store = url, .lease_ms = SHORT_MS};
    struct elector *elector = make(&stand);
    uint64_t started, passed, seen = 0;
    enum elector_event last = ELECTOR_EVENT_NONE;
    bool was_warned = false;
    int block;
    REQUIRE(lead(elector));
    block = block_writers(url);
    started = elector_now_ns();
    /* A lease is trusted for less than it lasts. The time is read before the question, so that a pause
       between the two is not held against the answer. */
    for (passed = 0; elector_am_i_leader(elector); passed = since_ms(started))
        REQUIRE(passed < SHORT_MS * slow);
    CHECK(elector_token(elector) == 0);
    while (last != ELECTOR_EVENT_DEPOSED && !(last == ELECTOR_EVENT_NONE && seen > 0)) {
        struct elector_change change = next_turn(elector, &seen);
        last = change.event;
        was_warned = was_warned || last == ELECTOR_EVENT_STOP_NEW_WORK;
        CHECK(last != ELECTOR_EVENT_DEPOSED || change.reason == ELECTOR_REASON_EXPIRED);
    }
    CHECK(was_warned);
    close(block);
    CHECK(wait_until_leader(elector, SOON_MS));
    elector_free(elector);
}

static void a_store_that_comes_back_in_time_saves_the_term(void)
{
    const char *url = sqlite_store("back");
    struct stand stand = {.store = url, .lease_ms = 2 * LEASE_MS, .renew_ms = 200};
    struct elector *elector = make(&stand);
    char complaint[256];
    uint64_t token, started, seen = 0;
    int block;
    REQUIRE(lead(elector));
    token = elector_token(elector);
    CHECK(elector_last_error(elector, complaint, sizeof complaint) == 0 && complaint[0] == '\0');
    block = block_writers(url);
    CHECK(next_event(elector, &seen, ELECTOR_EVENT_AT_RISK).token == token);
    /* The store may still be waiting when its answer comes too late for the term's next attempt. */
    started = elector_now_ns();
    while (elector_last_error(elector, complaint, sizeof complaint) == 0 && since_ms(started) < SOON_MS)
        sleep_ms(5);
    CHECK(complaint[0] != '\0' && strchr(complaint, '\n') == NULL);
    close(block);
    CHECK(next_event(elector, &seen, ELECTOR_EVENT_RENEWED).token == token);
    CHECK(elector_token(elector) == token);
    CHECK(elector_last_error(elector, complaint, sizeof complaint) == 0);
    elector_free(elector);
}

static void a_release_that_the_store_does_not_confirm_times_out(void)
{
    const char *url = sqlite_store("silent");
    struct stand stand = {.store = url};
    struct elector *elector = make(&stand);
    struct elector_error error;
    int block;
    REQUIRE(lead(elector));
    block = block_writers(url);
    GIVES(TIMEOUT, elector_release(elector, 50, &error));
    CHECK(strstr(error.message, "50 ms") != NULL && !elector_am_i_leader(elector));
    close(block);
    GIVES(OK, elector_release(elector, SOON_MS, &error));
    elector_free(elector);
}

static void a_guard_is_only_made_for_postgresql(void)
{
    char sql[16] = "before";
    struct elector *file = candidate(sqlite_store("guard"), "a"), *memory = candidate("memory:guard", "a");
    CHECK(lead(file) && lead(memory));
    CHECK(elector_guard_sql(file, sql, sizeof sql) == 0 && sql[0] == '\0');
    CHECK(elector_guard_sql(memory, sql, sizeof sql) == 0 && sql[0] == '\0');
    elector_free(file);
    elector_free(memory);
}

const struct test store_tests[] = {
    TEST(a_candidate_leads_over_a_file_and_connecting_says_that_it_works),
    TEST(a_deleted_file_ends_leadership),
    TEST(a_file_anew_is_led_in_with_a_larger_token),
    TEST(trust_ends_by_the_clock_alone_when_the_store_hangs),
    TEST(a_store_that_comes_back_in_time_saves_the_term),
    TEST(a_release_that_the_store_does_not_confirm_times_out),
    TEST(a_guard_is_only_made_for_postgresql),
    END_OF_TESTS,
};
