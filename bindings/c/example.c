/* One replica of a service: whichever one leads does the nightly work, the others stand by. */
#include <elector.h>
#include <stdio.h>

static void say_how_it_stands(const struct elector *elector)
{
    char text[1024];
    if (elector_leader(elector, text, sizeof text) > 0)
        printf("%s leads\n", text);
    if (elector_last_error(elector, text, sizeof text) > 0)
        printf("the store says: %s\n", text);
}

static void do_the_work(uint64_t token)
{
    /* Whatever is written carries the token; whoever stores it refuses a smaller one than it has seen. */
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

    /* Stand for election, and wait until this process leads or nothing has happened for ten seconds. */
    elector_campaign(elector, &error);
    while (!now.is_leader)
        if (elector_wait(elector, now.revision, 10000, &now) != ELECTOR_STATUS_OK)
            break;
    say_how_it_stands(elector);
    if (elector_am_i_leader(elector))
        do_the_work(elector_token(elector));

    /* Hand over at once. Without this the others wait until the lease ends. */
    if (elector_release(elector, 5000, &error))
        fprintf(stderr, "%s: %s\n", elector_status_name(error.status), error.message);
    elector_free(elector);
    return 0;
}
