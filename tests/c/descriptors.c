/* A host closes descriptors that it did not open, as code does that makes a daemon of it. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* More than the library has open. */
#define VICTIMS 100

/* What parent and child share, since the child closes its pipes. */
struct shared {
    _Atomic uint64_t first_token, second_token, led_until_ns;
    _Atomic bool other_stands;
};

static struct shared *share(void)
{
    const int access = PROT_READ | PROT_WRITE, kind = MAP_SHARED | MAP_ANONYMOUS;
    void *memory = mmap(NULL, sizeof(struct shared), access, kind, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

#define AWAIT(condition) \
    do { \
        uint64_t started = elector_now_ns(); \
        while (!(condition) && CHECK(since_ms(started) < 3 * SOON_MS)) \
            sleep_ms(1); \
    } while (0)

/* A child that is made while another thread is in SQLite may find SQLite's locks taken for good. */
static int fork_alone(void)
{
    CHECK(library_threads_end());
    return fork();
}

/* The host's own files, which get the numbers of the library's. */
struct victim {
    int number;
    char path[320];
    ino_t inode;
};
static struct victim victims[VICTIMS];
static const char text[] = "The host's own.";

static void open_victims(const char *url)
{
    int at;
    for (at = 0; at < VICTIMS; at++) {
        struct stat found;
        struct victim *victim = &victims[at];
        snprintf(victim->path, sizeof victim->path, "%s.victim-%d", url + strlen("sqlite:"), at);
        victim->number = open(victim->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        CHECK(write(victim->number, text, sizeof text) == (ssize_t)sizeof text);
        CHECK(fstat(victim->number, &found) == 0);
        victim->inode = found.st_ino;
    }
    /* All the smallest, but for what the library may have open for a moment to find out what happened. */
    CHECK(victims[VICTIMS - 1].number < 3 + VICTIMS + 5);
}

static void victims_are_untouched(void)
{
    int at;
    for (at = 0; at < VICTIMS; at++) {
        char found[sizeof text + 1];
        struct stat now;
        const struct victim *victim = &victims[at];
        CHECK(fstat(victim->number, &now) == 0 && now.st_ino == victim->inode);
        CHECK(pread(victim->number, found, sizeof found, 0) == (ssize_t)sizeof text);
        CHECK(memcmp(found, text, sizeof text) == 0);
    }
}

static void be_a_leader_that_closes_all(const char *url, struct shared *shared)
{
    struct stand stand = {.store = url, .candidate = "a", .lease_ms = 3000};
    struct elector *elector = make(&stand);
    uint64_t now, seen = 0;
    GIVES(OK, elector_campaign(elector, NULL));
    shared->first_token = next_event(elector, &seen, ELECTOR_EVENT_ELECTED).token;
    AWAIT(shared->other_stands);
    CHECK(close_range(3, ~0U, 0) == 0);
    open_victims(url);
    /* Read before the question: an answer is of no earlier instant. */
    for (now = elector_now_ns(); elector_am_i_leader(elector); now = elector_now_ns())
        sleep_ms(1);
    shared->led_until_ns = now;
    victims_are_untouched();
    /* Which of the two leads next is nobody's promise: this one waits. */
    GIVES(OK, elector_release(elector, 0, NULL));
    AWAIT(shared->second_token != 0);
    GIVES(OK, elector_campaign(elector, NULL));
    CHECK(wait_for_larger_token(elector, shared->second_token));
    victims_are_untouched();
    elector_free(elector);
    victims_are_untouched();
}

static void nobody_leads_before_a_leader_that_closed_all_descriptors_has_stopped(void)
{
    const char *url = sqlite_store("closed");
    struct shared *shared = share();
    struct stand stand = {.store = url, .candidate = "b", .lease_ms = 3000};
    struct elector *other;
    uint64_t led_from, seen = 0;
    int child = fork_alone();
    if (child == 0) {
        be_a_leader_that_closes_all(url, shared);
        _exit(has_failed());
    }
    AWAIT(shared->first_token != 0);
    other = make(&stand);
    GIVES(OK, elector_connect(other, SOON_MS, NULL));
    GIVES(OK, elector_campaign(other, NULL));
    shared->other_stands = true;
    shared->second_token = next_event(other, &seen, ELECTOR_EVENT_ELECTED).token;
    led_from = elector_now_ns();
    CHECK(shared->second_token > shared->first_token);
    CHECK(shared->led_until_ns != 0 && shared->led_until_ns < led_from);
    GIVES(OK, elector_release(other, SOON_MS, NULL));
    check_child(child);
    elector_free(other);
    munmap(shared, sizeof *shared);
}

/* Neither by a renewal, one in 100 s, nor by the end of the lease. */
static void closing_all_descriptors_ends_leadership_at_once(void)
{
    const char *url = sqlite_store("closed-at-once");
    int child = fork_alone();
    if (child == 0) {
        struct stand stand = {.store = url, .lease_ms = 2 * LONG_MS, .renew_ms = 200000};
        struct elector *elector = make(&stand);
        uint64_t seen = 0;
        if (lead(elector)) {
            CHECK(close_range(3, ~0U, 0) == 0);
            CHECK(next_turn(elector, &seen).event == ELECTOR_EVENT_ELECTED);
            CHECK(next_turn(elector, &seen).reason == ELECTOR_REASON_REVOKED);
            CHECK(!elector_am_i_leader(elector));
        }
        _exit(has_failed());
    }
    check_child(child);
}

const struct test descriptors_tests[] = {
    TEST(nobody_leads_before_a_leader_that_closed_all_descriptors_has_stopped),
    TEST(closing_all_descriptors_ends_leadership_at_once),
    END_OF_TESTS,
};
