/* Options: what is refused, and what the refusals say. */
#define _GNU_SOURCE
#include "check.h"

static const char *const not_utf8 = "caf\xe9";

/* Makes an elector, which must not succeed. */
static enum elector_status refusal(struct elector_options *options, struct elector_error *error)
{
    struct elector *elector = (struct elector *)error;
    enum elector_status status = elector_new(options, &elector, error);
    CHECK(elector == NULL && error->status == status && error->message[0] != '\0');
    elector_options_free(options);
    return status;
}

static struct elector_options *plain(void)
{
    struct stand stand = {.store = "memory:refused"};
    return options_of(&stand);
}

static void wrong_input_is_refused_before_anything_starts(void)
{
    struct elector_error error;
    struct elector_options *options = elector_options_new();
    GIVES(OK, elector_options_set_store(options, "memory:refused", &error));
    GIVES(INVALID_ARGUMENT, refusal(options, &error));
    CHECK(strstr(error.message, "elector_options_set_election") != NULL);

    options = plain();
    GIVES(OK, elector_options_set_lease_ms(options, 50, NULL));
    GIVES(INVALID_TIMING, refusal(options, &error));
    CHECK(strstr(error.message, "50 ms") != NULL);

    options = plain();
    GIVES(OK, elector_options_set_schema(options, "app", NULL));
    GIVES(INVALID_ARGUMENT, refusal(options, &error));
    CHECK(strstr(error.message, "PostgreSQL") != NULL);
    CHECK(library_threads() == 0);
}

static void names_have_1_to_255_bytes(void)
{
    struct elector_error error;
    struct elector_options *options = elector_options_new();
    char name[257];
    memset(name, 'n', sizeof name);
    name[256] = '\0';
    GIVES(INVALID_ARGUMENT, elector_options_set_election(options, name, &error));
    CHECK(strstr(error.message, "256") != NULL);
    GIVES(INVALID_ARGUMENT, elector_options_set_candidate(options, name, &error));
    name[255] = '\0';
    GIVES(OK, elector_options_set_election(options, name, &error));
    CHECK(error.status == ELECTOR_STATUS_OK && error.message[0] == '\0');
    GIVES(OK, elector_options_set_candidate(options, name, &error));
    GIVES(INVALID_ARGUMENT, elector_options_set_election(options, "", &error));
    CHECK(strstr(error.message, "empty") != NULL);
    GIVES(INVALID_ARGUMENT, elector_options_set_candidate(options, "", &error));
    GIVES(INVALID_ARGUMENT, elector_options_set_schema(options, "", &error));
    name[64] = '\0';
    GIVES(INVALID_ARGUMENT, elector_options_set_schema(options, name, &error));
    name[63] = '\0';
    GIVES(OK, elector_options_set_schema(options, name, &error));
    elector_options_free(options);
}

static void a_meta_text_has_at_most_65536_bytes(void)
{
    struct elector_error error;
    struct elector_options *options = elector_options_new();
    static char text[65538];
    memset(text, 't', sizeof text - 1);
    GIVES(INVALID_ARGUMENT, elector_options_set_meta(options, text, &error));
    CHECK(strstr(error.message, "the meta text has 65537 bytes; at most 65536 are allowed") != NULL);
    text[65536] = '\0';
    GIVES(OK, elector_options_set_meta(options, text, &error));
    GIVES(OK, elector_options_set_meta(options, "", &error));
    elector_options_free(options);
}

static void strings_are_utf8(void)
{
    struct elector_error error;
    struct elector_options *options = elector_options_new();
    GIVES(INVALID_UTF8, elector_options_set_store(options, not_utf8, &error));
    CHECK(strstr(error.message, "byte 3") != NULL);
    GIVES(INVALID_UTF8, elector_options_set_election(options, not_utf8, &error));
    GIVES(INVALID_UTF8, elector_options_set_candidate(options, not_utf8, &error));
    GIVES(INVALID_UTF8, elector_options_set_meta(options, not_utf8, &error));
    GIVES(INVALID_UTF8, elector_options_set_schema(options, not_utf8, &error));
    GIVES(OK, elector_options_set_election(options, "n\xc3\xa4" "chtlich", &error));
    elector_options_free(options);
}

static void store_urls_are_checked_and_passwords_not_repeated(void)
{
    static const char *const wrong[] = {
        "", "leases.db", "memory:", "sqlite:", "redis://me:secret@cache/0", "postgres://me:secret@db:port/x",
    };
    struct elector_error error;
    size_t at;
    struct elector_options *options = elector_options_new();
    for (at = 0; at < sizeof wrong / sizeof wrong[0]; at++) {
        if (!GIVES(INVALID_ARGUMENT, elector_options_set_store(options, wrong[at], &error)))
            fprintf(stderr, "    with \"%s\"\n", wrong[at]);
        CHECK(strstr(error.message, "secret") == NULL);
    }
    GIVES(OK, elector_options_set_store(options, "postgres://me:secret@db/app", &error));
    elector_options_free(options);
}

static void timings_must_fit_together(void)
{
    static const struct {
        uint64_t lease_ms, renew_ms, jitter_ms, margin_ms;
    } wrong[] = {
        {99, 0, 0, 0},      {86400001, 0, 0, 0}, {1000, 900, 0, 0},           {1000, 5, 0, 0},
        {1000, 100, 200, 0}, {1000, 0, 0, 999},   {UINT64_MAX, 0, 0, 0},       {1000, UINT64_MAX, 0, 0},
        {1000, 0, UINT64_MAX, 0}, {1000, 0, 0, UINT64_MAX},
    };
    struct elector_error error;
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    struct elector *elector = NULL;
    struct elector_options *options;
    size_t at;
    for (at = 0; at < sizeof wrong / sizeof wrong[0]; at++) {
        options = plain();
        GIVES(OK, elector_options_set_lease_ms(options, wrong[at].lease_ms, &error));
        GIVES(OK, elector_options_set_renew_ms(options, wrong[at].renew_ms, &error));
        GIVES(OK, elector_options_set_jitter_ms(options, wrong[at].jitter_ms, &error));
        GIVES(OK, elector_options_set_margin_ms(options, wrong[at].margin_ms, &error));
        if (!GIVES(INVALID_TIMING, refusal(options, &error)))
            fprintf(stderr, "    in row %d\n", (int)at);
    }
    /* Zero everywhere is the default, 10 s. */
    options = plain();
    GIVES(OK, elector_options_set_lease_ms(options, 0, &error));
    GIVES(OK, elector_options_set_margin_ms(options, 0, &error));
    GIVES(OK, elector_new(options, &elector, &error));
    elector_options_free(options);
    if (lead(elector)) {
        uint64_t started = elector_now_ns();
        /* What is left of the lease when it is looked at; each renewal brings most of it back. */
        do {
            GIVES(OK, elector_get_leadership(elector, &now, &error));
            CHECK(now.trusted_for_ms <= 9900);
        } while (now.trusted_for_ms <= 5000 && CHECK(since_ms(started) < SOON_MS));
    }
    /* Or it would keep the next test from leading for as long. */
    GIVES(OK, elector_release(elector, SOON_MS, &error));
    elector_free(elector);
}

static void an_elector_keeps_nothing_of_its_options(void)
{
    char name[] = "original";
    struct elector *first = NULL, *second = NULL;
    struct elector_options *options = plain();
    char leader[64];
    GIVES(OK, elector_options_set_candidate(options, name, NULL));
    GIVES(OK, elector_options_set_create_table(options, true, NULL));
    memset(name, '#', sizeof name - 1);
    GIVES(OK, elector_new(options, &first, NULL));
    GIVES(OK, elector_options_set_election(options, "another", NULL));
    GIVES(OK, elector_options_set_create_table(options, false, NULL));
    GIVES(OK, elector_new(options, &second, NULL));
    elector_options_free(options);
    CHECK(lead(first) && lead(second));
    CHECK(elector_leader(first, leader, sizeof leader) == strlen("original") + 1);
    CHECK(strcmp(leader, "original") == 0);
    elector_free(first);
    elector_free(second);
}

const struct test options_tests[] = {
    TEST(wrong_input_is_refused_before_anything_starts),
    TEST(names_have_1_to_255_bytes),
    TEST(a_meta_text_has_at_most_65536_bytes),
    TEST(strings_are_utf8),
    TEST(store_urls_are_checked_and_passwords_not_repeated),
    TEST(timings_must_fit_together),
    TEST(an_elector_keeps_nothing_of_its_options),
    END_OF_TESTS,
};
