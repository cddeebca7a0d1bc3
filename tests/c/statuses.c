/* Every status is reached from C. PANIC alone is not: no input is known that makes the library panic, or
 * it would be mended; the unit tests of src/capi/boundary.rs plant one. */
#define _GNU_SOURCE
#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct elector_error error;

static void ok_null_utf8_argument_timing_and_size(void)
{
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    struct elector *elector = NULL;
    struct elector_options *options = elector_options_new();
    GIVES(OK, elector_options_set_store(options, "memory:statuses", &error));
    GIVES(NULL_POINTER, elector_options_set_election(options, NULL, &error));
    GIVES(INVALID_UTF8, elector_options_set_election(options, "\xff", &error));
    GIVES(INVALID_ARGUMENT, elector_new(options, &elector, &error));
    GIVES(OK, elector_options_set_election(options, "e", &error));
    GIVES(OK, elector_options_set_lease_ms(options, 1, &error));
    GIVES(INVALID_TIMING, elector_new(options, &elector, &error));
    GIVES(OK, elector_options_set_lease_ms(options, 0, &error));
    GIVES(OK, elector_new(options, &elector, &error));
    now.struct_size = 1;
    GIVES(INVALID_STRUCT_SIZE, elector_get_leadership(elector, &now, &error));
    elector_options_free(options);
    elector_free(elector);
}

/* A port of this machine. If `listening` is true, a server accepts connections there and never answers. */
static int open_port(bool listening, char *url, size_t capacity)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int port = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(port, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(!listening || listen(port, 16) == 0);
    CHECK(getsockname(port, (struct sockaddr *)&address, &length) == 0);
    snprintf(url, capacity, "postgres://me@127.0.0.1:%d/app?sslmode=disable", ntohs(address.sin_port));
    return port;
}

static void timeout_when_nothing_happens_or_the_store_is_silent(void)
{
    char url[128], complaint[256];
    struct elector *elector;
    enum elector_status status;
    uint64_t started;
    int port = open_port(true, url, sizeof url);
    elector = candidate(url, "a");
    GIVES(TIMEOUT, elector_wait(elector, 0, 10, NULL));
    started = elector_now_ns();
    /* If this thread sleeps for seconds, the attempt is over before. */
    do
        status = elector_connect(elector, 50, &error);
    while (status == ELECTOR_STATUS_STORE_FAILED && since_ms(started) < SOON_MS);
    GIVES(TIMEOUT, status);
    CHECK(strstr(error.message, "50 ms") != NULL);
    GIVES(OK, elector_campaign(elector, &error));
    elector_last_error(elector, complaint, sizeof complaint);
    elector_free(elector);
    close(port);
}

static void store_failed_when_nobody_is_there(void)
{
    char url[128], complaint[256];
    struct elector *elector;
    int port = open_port(false, url, sizeof url);
    elector = candidate(url, "a");
    GIVES(STORE_FAILED, elector_connect(elector, SOON_MS, &error));
    CHECK(elector_last_error(elector, complaint, sizeof complaint) > 0);
    CHECK(strstr(error.message, complaint) != NULL);
    elector_free(elector);
    close(port);
}

static void store_refused_when_it_cannot_work(void)
{
    char path[256];
    struct elector *elector;
    FILE *file;
    const char *url = sqlite_store("no-database");
    snprintf(path, sizeof path, "%s", url + strlen("sqlite:"));
    file = fopen(path, "w");
    REQUIRE(file != NULL);
    fputs("This is no database, and long enough to be seen as none. ................................", file);
    fclose(file);
    elector = candidate(url, "a");
    GIVES(STORE_REFUSED, elector_connect(elector, SOON_MS, &error));
    CHECK(error.message[0] != '\0');
    elector_free(elector);
}

static void forked_in_a_child(void)
{
    struct elector *elector = candidate("memory:statuses-forked", "a");
    int child = fork();
    if (child == 0) {
        GIVES(FORKED, elector_campaign(elector, &error));
        CHECK(strstr(error.message, "fork") != NULL);
        _exit(has_failed());
    }
    check_child(child);
    elector_free(elector);
}

static enum elector_status from_callback;
static const struct elector *asked;

static void ask(void *told, const struct elector_change *change)
{
    (void)change;
    from_callback = elector_wait(__atomic_load_n(&asked, __ATOMIC_ACQUIRE), 0, 1000, NULL);
    __atomic_store_n((bool *)told, true, __ATOMIC_RELEASE);
}

static void in_callback_when_a_callback_waits(void)
{
    bool told = false;
    struct stand stand = {.store = "memory:statuses-callback", .on_change = ask, .user_data = &told};
    struct elector *elector = make(&stand);
    __atomic_store_n(&asked, elector, __ATOMIC_RELEASE);
    CHECK(lead(elector));
    while (!__atomic_load_n(&told, __ATOMIC_ACQUIRE))
        sleep_ms(1);
    elector_free(elector);
    CHECK(from_callback == ELECTOR_STATUS_IN_CALLBACK);
}

static void unknown_change_before_it_happened(void)
{
    struct elector_change change = ELECTOR_CHANGE_INIT;
    struct elector *elector = candidate("memory:statuses-change", "a");
    GIVES(UNKNOWN_CHANGE, elector_get_change(elector, 0, &change, &error));
    GIVES(UNKNOWN_CHANGE, elector_get_change(elector, 1, &change, &error));
    GIVES(UNKNOWN_CHANGE, elector_get_change(elector, UINT64_MAX, &change, &error));
    CHECK(strstr(error.message, "the latest is 0") != NULL && change.revision == 0);
    elector_free(elector);
}

/* How much address space this process uses. */
static rlim_t used_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%lu", &pages) != 1)
        pages = 0;
    if (file != NULL)
        fclose(file);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* There is room for small things, and none for a thread's stack of 2 MiB. */
static void ask_for_a_thread_where_there_is_no_room(void)
{
    struct stand stand = {.store = "memory:statuses-thread"};
    struct elector_options *options = options_of(&stand);
    struct elector *elector = (struct elector *)&error;
    struct rlimit limit = {used_bytes() + (1 << 20), RLIM_INFINITY};
    int round;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    /* If an attempt left something behind, there would soon be no room for anything, and the process end. */
    for (round = 0; round < 3000; round++)
        GIVES(NO_THREAD, elector_new(options, &elector, &error));
    CHECK(elector == NULL && strstr(error.message, "thread") != NULL);
    limit.rlim_cur = RLIM_INFINITY;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    GIVES(OK, elector_new(options, &elector, &error));
    CHECK(lead(elector));
    elector_free(elector);
    elector_options_free(options);
}

/* What follows is told that the system has no getrandom, and that there is no file. */
static bool take_random_sources_away(void)
{
    struct sock_filter refuse[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getrandom, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 2, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOENT),
    };
    struct sock_fprog program = {sizeof refuse / sizeof refuse[0], refuse};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void ask_for_an_elector_without_random_numbers(void)
{
    struct stand stand = {.store = "memory:statuses-random"};
    struct elector_options *options = options_of(&stand);
    struct elector *elector = (struct elector *)&error;
    REQUIRE(take_random_sources_away());
    GIVES(NO_RANDOM, elector_new(options, &elector, &error));
    CHECK(elector == NULL && strstr(error.message, "/dev/urandom") != NULL);
    elector_options_free(options);
}

/* In a process of its own, since the limit stays. It begins anew, since a forked one could use the stacks of
 * threads that have ended, and what the library has found out of the system before. */
static void anew(const char *test, void (*body)(void))
{
    int child;
    if (getenv("ELECTOR_TEST_ANEW") != NULL) {
        body();
        return;
    }
    child = fork();
    if (child == 0) {
        setenv("ELECTOR_TEST_ANEW", "1", 1);
        /* Its closing line is not this run's. */
        if (freopen("/dev/null", "w", stdout) == NULL)
            _exit(126);
        execl("/proc/self/exe", "capi", test, (char *)NULL);
        _exit(127);
    }
    check_child(child);
}

static void no_thread_when_the_system_gives_none(void)
{
    anew(__func__, ask_for_a_thread_where_there_is_no_room);
}

static void no_random_when_the_system_gives_no_number(void)
{
    anew(__func__, ask_for_an_elector_without_random_numbers);
}

const struct test statuses_tests[] = {
    TEST(ok_null_utf8_argument_timing_and_size),
    TEST(timeout_when_nothing_happens_or_the_store_is_silent),
    TEST(store_failed_when_nobody_is_there),
    TEST(store_refused_when_it_cannot_work),
    TEST(forked_in_a_child),
    TEST(in_callback_when_a_callback_waits),
    TEST(unknown_change_before_it_happened),
    END_OF_TESTS,
};

const struct test limits_tests[] = {
    TEST(no_thread_when_the_system_gives_none),
    TEST(no_random_when_the_system_gives_no_number),
    END_OF_TESTS,
};
