/* A candidate for tests/peers: it campaigns at once, prints when it begins and ceases to lead, and executes
 * commands from its standard input. tests/kit/src/candidate.rs is the same program in Rust.
 *
 *   environment  ELECTOR_TEST_CANDIDATE (the election), ELECTOR_TEST_STORE, ELECTOR_TEST_LEASE_MS
 *   output       @ up TOKEN NS      it has begun to lead under this token, at this instant or before
 *                @ still TOKEN NS   it leads under this token, and did so at this instant or later
 *                @ down TOKEN NS    it led under this token until this instant or longer, and leads no more
 *                @ error TEXT       the latest error of its store, or "none"
 *                @ done LINE        it has executed this command
 *   input        release, campaign, end; the end of the input also ends the program
 */
#define _GNU_SOURCE
#include <elector.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every REPEAT samples it prints that it still leads, and looks for a new error of its store. */
enum { SAMPLE_US = 3000, MARGIN_MS = 100, END_MS = 2000, REPEAT = 10 };

/* How many samples of its leadership it has taken. */
static atomic_ulong rounds;

static void say(const char *format, ...)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    va_list arguments;
    pthread_mutex_lock(&lock);
    fputs("@ ", stdout);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    fputc('\n', stdout);
    fflush(stdout);
    pthread_mutex_unlock(&lock);
}

static void sleep_sample(void)
{
    struct timespec time = {0, SAMPLE_US * 1000L};
    nanosleep(&time, NULL);
}

static void say_complaint(const struct elector *elector)
{
    static char said[1024];
    char found[sizeof said];
    size_t at;
    elector_last_error(elector, found, sizeof found);
    if (strcmp(found, said) == 0)
        return;
    memcpy(said, found, sizeof said);
    for (at = 0; found[at] != '\0'; at++)
        if (found[at] == '\n')
            found[at] = ' ';
    say("error %s", found[0] == '\0' ? "none" : found);
}

/* Asks again and again, as an application does, and says when the answer changes. A thread may be kept from
 * running between a question and a look at the clock, so the clock is read on the safe side: after the first
 * yes, before the question of the last one. */
static void *sample(void *data)
{
    const struct elector *elector = data;
    unsigned long long led = 0, last = 0;
    for (;; atomic_fetch_add(&rounds, 1)) {
        unsigned long long before = elector_now_ns();
        unsigned long long token = elector_am_i_leader(elector) ? elector_token(elector) : 0;
        unsigned long long after = elector_now_ns();
        if (led != token) {
            if (led != 0)
                say("down %llu %llu", led, last);
            if (token != 0)
                say("up %llu %llu", token, after);
        }
        led = token;
        last = before;
        if (atomic_load(&rounds) % REPEAT == 0) {
            if (token != 0)
                say("still %llu %llu", token, before);
            say_complaint(elector);
        }
        sleep_sample();
    }
    return NULL;
}

static void must(enum elector_status status, const struct elector_error *error)
{
    if (status == ELECTOR_STATUS_OK)
        return;
    fprintf(stderr, "%s: %s\n", elector_status_name(status), error->message);
    exit(1);
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL) {
        fprintf(stderr, "%s is not set; tests/peers sets it\n", name);
        exit(2);
    }
    return value;
}

static struct elector *make(void)
{
    struct elector_error error;
    struct elector *elector = NULL;
    struct elector_options *options = elector_options_new();
    uint64_t lease_ms = strtoull(environment("ELECTOR_TEST_LEASE_MS"), NULL, 10);
    must(elector_options_set_election(options, environment("ELECTOR_TEST_CANDIDATE"), &error), &error);
    must(elector_options_set_store(options, environment("ELECTOR_TEST_STORE"), &error), &error);
    must(elector_options_set_lease_ms(options, lease_ms, &error), &error);
    must(elector_options_set_margin_ms(options, MARGIN_MS, &error), &error);
    must(elector_new(options, &elector, &error), &error);
    elector_options_free(options);
    return elector;
}

static void obey(const struct elector *elector, const char *line)
{
    struct elector_error error;
    if (strcmp(line, "release") == 0) {
        must(elector_release(elector, 0, &error), &error);
    } else if (strcmp(line, "campaign") == 0) {
        must(elector_campaign(elector, &error), &error);
    } else if (strcmp(line, "end") == 0) {
        /* That the store does not answer is part of the test. */
        elector_release(elector, END_MS, NULL);
        /* The next question is answered with no; the round of the one before may not be over. */
        unsigned long asked = atomic_load(&rounds) + 2;
        while (atomic_load(&rounds) < asked)
            sleep_sample();
    } else {
        fprintf(stderr, "the test said \"%s\"\n", line);
        exit(2);
    }
    say("done %s", line);
}

int main(void)
{
    char line[64];
    pthread_t sampler;
    struct elector_error error;
    struct elector *elector = make();
    must(elector_campaign(elector, &error), &error);
    if (pthread_create(&sampler, NULL, sample, elector) != 0)
        return 1;
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        obey(elector, line);
    }
    /* The sampler still asks, so nothing is freed. */
    exit(0);
}
