/* What the C tests share: checks, and candidates that are quick to make. */
#ifndef CHECK_H
#define CHECK_H

#include <elector.h>
#include <stdio.h>
#include <string.h>

/* A test's name is the property that it proves. */
struct test {
    const char *name;
    void (*run)(void);
};
#define TEST(name) {#name, name}
#define END_OF_TESTS {NULL, NULL}

/* Says where it was if it does not hold, and makes the test fail. Any thread. Returns whether it holds. */
bool check(bool holds, const char *file, int line, const char *what);
#define CHECK(condition) check((condition), __FILE__, __LINE__, #condition)
/* The same, and ends the test. */
#define REQUIRE(condition) \
    do { \
        if (!CHECK(condition)) \
            return; \
    } while (0)
/* A call's status is the expected one, and so is that in `error`. */
bool check_status(enum elector_status found, enum elector_status expected, const char *file, int line,
                  const char *what);
#define GIVES(status, call) check_status((call), ELECTOR_STATUS_##status, __FILE__, __LINE__, #call)
/* Whether any check of this process has failed; what a forked child exits with. */
bool has_failed(void);
/* Waits for a forked child, which must exit with 0. */
void check_child(int pid);

/* Times are multiplied by it: valgrind and sanitizers are slow. From the environment, ELECTOR_TEST_SLOW. */
extern unsigned slow;
/* How long to wait for what must come. */
#define SOON_MS (60000 * slow)

void sleep_ms(unsigned ms);
uint64_t since_ms(uint64_t then_ns);

/* The lease of a candidate that must keep leading on a machine that is busy; trusted for 9066 ms. */
#define LEASE_MS 10000
/* A lease that expires within a test. No check may presume that such a candidate keeps leading. */
#define SHORT_MS 400
/* What comes within SOON_MS comes neither by the end of this lease nor by a look, one in a third of it. */
#define LONG_MS 300000

/* How a candidate is made; what is not set has a default, the lease LEASE_MS. */
struct stand {
    const char *store, *election, *candidate, *meta;
    uint64_t lease_ms, renew_ms;
    bool strict, progress_gate;
    elector_change_callback on_change;
    elector_log_callback on_log;
    void *user_data;
};
struct elector_options *options_of(const struct stand *stand);
struct elector *make(const struct stand *stand);
struct elector *candidate(const char *store, const char *name);
/* Campaigns and waits until it leads. */
bool lead(const struct elector *elector);
bool wait_until_leader(const struct elector *elector, unsigned timeout_ms);
/* Waits until it leads under a larger token than this. */
bool wait_for_larger_token(const struct elector *elector, uint64_t token);
/* The next change after `*seen` that is neither a renewal nor about who leads. */
struct elector_change next_turn(const struct elector *elector, uint64_t *seen);
/* The next change after `*seen` that is this event; NONE if it does not come. */
struct elector_change next_event(const struct elector *elector, uint64_t *seen, enum elector_event event);
/* The SQLite store of this name in a folder of this process, which the runner removes. */
const char *sqlite_store(const char *name);

/* How many threads of the library this process has; and waits until it has none. */
int library_threads(void);
bool library_threads_end(void);

#endif
