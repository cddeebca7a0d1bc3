/* One replica of a service: the replica that leads does the nightly work, the others wait. */
#include <elector.h>
#include <stdio.h>

static void print_state(const struct elector *elector)
{
    char text[1024];
    if (elector_leader(elector, text, sizeof text) > 0)
        printf("%s leads\n", text);
    if (elector_last_error(elector, text, sizeof text) > 0)
        printf("the store failed: %s\n", text);
}

static void do_the_work(uint64_t token)
{
    /* Send the token with every write; the receiver refuses a token smaller than the largest it has seen. */
    printf("only one process prints this, under token %llu\n", (unsigned long long)token);
}

int main(int count, char **arguments)
{
    struct elector_error error;
    struct elector *elector = NULL;
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    /* "postgres://USER@HOST/DATABASE" between machines, "sqlite:PATH" on one, "memory:NAME" for tests. */
    const char *store = count > 1 ? arguments[1] : "memory:example";
    struct elector_options *options = elector_options_new();

    if (elector_options_set_store(options, store, &error) ||
        elector_options_set_election(options, "nightly", &error) ||
        elector_options_set_meta(options, "http://api-1:8080", &error) ||
        elector_new(options, &elector, &error)) {
        fprintf(stderr, "%s: %s\n", elector_status_name(error.status), error.message);
        elector_options_free(options);
        return 1;
    }
    elector_options_free(options);

    /* Campaign, and wait until this process leads or nothing has happened for ten seconds. */
    elector_campaign(elector, &error);
    while (!now.is_leader)
        if (elector_wait(elector, now.revision, 10000, &now) != ELECTOR_STATUS_OK)
            break;
    print_state(elector);
    if (elector_am_i_leader(elector))
        do_the_work(elector_token(elector));

    /* Release, so that another replica can lead at once. Otherwise it waits until the lease expires. */
    if (elector_release(elector, 5000, &error))
        fprintf(stderr, "%s: %s\n", elector_status_name(error.status), error.message);
    elector_free(elector);
    return 0;
}
