/* Tests whose subject is real time. They run one after another on a machine that should be quiet. */
#define _GNU_SOURCE
#include "check.h"

#include <dirent.h>
#include <inttypes.h>

/* How long the threads of this process have been ready to run while others had the processors. */
static uint64_t waited_ns(void)
{
    uint64_t sum = 0;
    struct dirent *entry;
    DIR *tasks = opendir("/proc/self/task");
    while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
        char path[300];
        uint64_t waited = 0;
        FILE *file;
        snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", entry->d_name);
        file = fopen(path, "r");
        if (file == NULL)
            continue;
        if (fscanf(file, "%*u %" SCNu64, &waited) == 1)
            sum += waited;
        fclose(file);
    }
    if (tasks != NULL)
        closedir(tasks);
    return sum;
}

/* Whether a call took at most so long. If not, and its threads waited for a quarter of the bound, that says
 * nothing of the library, and it is to be tried once more. */
enum verdict { IN_TIME, LATE, INCONCLUSIVE };

static enum verdict free_in_time(uint64_t bound_ms)
{
    struct elector *elector = candidate("memory:free-prompt", "a");
    uint64_t before, after, started;
    CHECK(lead(elector));
    before = waited_ns();
    started = elector_now_ns();
    elector_free(elector);
    if (since_ms(started) <= bound_ms)
        return IN_TIME;
    after = waited_ns();
    /* A thread that has ended takes its count along. */
    return after > before && after - before > bound_ms * 1000000 / 4 ? INCONCLUSIVE : LATE;
}

static void freeing_a_leader_takes_less_than_500_ms(void)
{
    enum verdict verdict = free_in_time(499);
    if (verdict == INCONCLUSIVE)
        verdict = free_in_time(499);
    if (verdict == INCONCLUSIVE)
        fputs("inconclusive twice: the machine is too busy to tell\n", stderr);
    CHECK(verdict == IN_TIME);
}

const struct test timed_tests[] = {
    TEST(freeing_a_leader_takes_less_than_500_ms),
    END_OF_TESTS,
};
