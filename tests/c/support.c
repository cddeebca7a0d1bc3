/* The bodies of check.h. */
#define _GNU_SOURCE
#include "check.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

unsigned slow = 1;
static atomic_bool failed;

bool check(bool holds, const char *file, int line, const char *what)
{
    if (!holds) {
        atomic_store(&failed, true);
        fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    }
    return holds;
}

bool check_status(enum elector_status found, enum elector_status expected, const char *file, int line,
                  const char *what)
{
    if (found == expected)
        return true;
    fprintf(stderr, "%s instead of %s: ", elector_status_name(found), elector_status_name(expected));
    return check(false, file, line, what);
}

bool has_failed(void)
{
    return atomic_exchange(&failed, false);
}

void check_child(int pid)
{
    int status = 0;
    CHECK(pid > 0);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void sleep_ms(unsigned ms)
{
    struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000L};
    nanosleep(&time, NULL);
}

uint64_t since_ms(uint64_t then_ns)
{
    return (elector_now_ns() - then_ns) / 1000000;
}

struct elector_options *options_of(const struct stand *stand)
{
    struct elector_options *options = elector_options_new();
    uint64_t lease_ms = stand->lease_ms ? stand->lease_ms : LEASE_MS;
    const char *election = stand->election ? stand->election : "nightly";
    GIVES(OK, elector_options_set_store(options, stand->store, NULL));
    GIVES(OK, elector_options_set_election(options, election, NULL));
    if (stand->candidate)
        GIVES(OK, elector_options_set_candidate(options, stand->candidate, NULL));
    if (stand->meta)
        GIVES(OK, elector_options_set_meta(options, stand->meta, NULL));
    GIVES(OK, elector_options_set_lease_ms(options, lease_ms * slow, NULL));
    GIVES(OK, elector_options_set_margin_ms(options, lease_ms * slow / 12, NULL));
    if (stand->renew_ms) {
        GIVES(OK, elector_options_set_renew_ms(options, stand->renew_ms * slow, NULL));
        GIVES(OK, elector_options_set_jitter_ms(options, stand->renew_ms * slow / 2, NULL));
    }
    GIVES(OK, elector_options_set_strict(options, stand->strict, NULL));
    GIVES(OK, elector_options_set_progress_gate(options, stand->progress_gate, NULL));
    GIVES(OK, elector_options_on_change(options, stand->on_change, stand->user_data, NULL));
    GIVES(OK, elector_options_on_log(options, stand->on_log, stand->user_data, NULL));
    return options;
}

struct elector *make(const struct stand *stand)
{
    struct elector *elector = NULL;
    struct elector_error error;
    struct elector_options *options = options_of(stand);
    if (!GIVES(OK, elector_new(options, &elector, &error)))
        fprintf(stderr, "%s\n", error.message);
    elector_options_free(options);
    return elector;
}

struct elector *candidate(const char *store, const char *name)
{
    struct stand stand = {.store = store, .candidate = name};
    return make(&stand);
}

bool wait_until_leader(const struct elector *elector, unsigned timeout_ms)
{
    uint64_t started = elector_now_ns();
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    elector_get_leadership(elector, &now, NULL);
    while (!now.is_leader) {
        uint64_t passed = since_ms(started);
        if (passed >= timeout_ms)
            return false;
        elector_wait(elector, now.revision, (uint32_t)(timeout_ms - passed), &now);
    }
    return true;
}

bool wait_for_larger_token(const struct elector *elector, uint64_t token)
{
    uint64_t started = elector_now_ns();
    while (elector_token(elector) <= token) {
        if (since_ms(started) >= SOON_MS)
            return false;
        sleep_ms(1);
    }
    return true;
}

bool lead(const struct elector *elector)
{
    return GIVES(OK, elector_campaign(elector, NULL)) && CHECK(wait_until_leader(elector, SOON_MS));
}

struct elector_change next_turn(const struct elector *elector, uint64_t *seen)
{
    struct elector_change change = ELECTOR_CHANGE_INIT;
    do {
        change = next_event(elector, seen, ELECTOR_EVENT_NONE);
    } while (change.event == ELECTOR_EVENT_RENEWED || change.event == ELECTOR_EVENT_LEADER_CHANGED);
    return change;
}

struct elector_change next_event(const struct elector *elector, uint64_t *seen, enum elector_event event)
{
    struct elector_change change = ELECTOR_CHANGE_INIT;
    uint64_t started = elector_now_ns();
    while (since_ms(started) < SOON_MS) {
        if (elector_get_change(elector, *seen + 1, &change, NULL) == ELECTOR_STATUS_OK) {
            ++*seen;
            if (event == ELECTOR_EVENT_NONE || change.event == event)
                return change;
        } else {
            elector_wait(elector, *seen, SOON_MS, NULL);
        }
    }
    CHECK(!"the event came in time");
    change.event = ELECTOR_EVENT_NONE;
    return change;
}

const char *sqlite_store(const char *name)
{
    static char urls[8][256];
    static unsigned next;
    char *url = urls[next++ % 8];
    const char *folder = getenv("ELECTOR_TEST_FOLDER");
    snprintf(url, sizeof urls[0], "sqlite:%s/%s-%d.db", folder ? folder : ".", name, (int)getpid());
    return url;
}

/* How many threads this process has by the kernel's own count. */
static int all_threads(void)
{
    char line[128];
    int count = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "Threads: %d", &count) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return count;
}

/* How many threads the list has, and how many of them are the library's. */
static int listed_threads(int *ours)
{
    int count = 0;
    struct dirent *entry;
    DIR *tasks = opendir("/proc/self/task");
    *ours = 0;
    while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
        char path[300], name[32] = "";
        FILE *file;
        if (entry->d_name[0] == '.')
            continue;
        count++;
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        file = fopen(path, "r");
        if (file == NULL)
            continue;
        if (fgets(name, sizeof name, file) != NULL && strncmp(name, "elector-", 8) == 0)
            ++*ours;
        fclose(file);
    }
    if (tasks != NULL)
        closedir(tasks);
    return count;
}

/* A list that is read while a thread ends may leave out another one; its length then differs from the number
 * of threads before it or after. */
int library_threads(void)
{
    int ours, before, listed;
    do {
        before = all_threads();
        listed = listed_threads(&ours);
    } while (listed != before || listed != all_threads());
    return ours;
}

bool library_threads_end(void)
{
    uint64_t started = elector_now_ns();
    while (library_threads() > 0) {
        if (since_ms(started) >= SOON_MS)
            return false;
        sleep_ms(2);
    }
    return true;
}
