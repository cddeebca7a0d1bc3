/* NULL for every pointer of every function: a status, false or 0, and never a crash. */
#define _GNU_SOURCE
#include "check.h"

/* Both a NULL handle and a NULL error. */
static void options_take_null(void)
{
    struct elector_error error;
    struct elector_options *options = elector_options_new();
    elector_options_free(NULL);
#define SETS_A_STRING(function) \
    GIVES(NULL_POINTER, function(NULL, "memory:x", &error)); \
    CHECK(error.status == ELECTOR_STATUS_NULL_POINTER && strstr(error.message, "options is NULL") != NULL); \
    GIVES(NULL_POINTER, function(options, NULL, &error)); \
    CHECK(strstr(error.message, " is NULL") != NULL); \
    GIVES(NULL_POINTER, function(options, NULL, NULL)); \
    GIVES(NULL_POINTER, function(NULL, NULL, NULL)); \
    GIVES(OK, function(options, "memory:x", NULL))
    SETS_A_STRING(elector_options_set_store);
    SETS_A_STRING(elector_options_set_election);
    SETS_A_STRING(elector_options_set_candidate);
    SETS_A_STRING(elector_options_set_meta);
    SETS_A_STRING(elector_options_set_schema);
#define SETS_A_VALUE(function) \
    GIVES(NULL_POINTER, function(NULL, 1, &error)); \
    CHECK(error.status == ELECTOR_STATUS_NULL_POINTER && strstr(error.message, "options is NULL") != NULL); \
    GIVES(NULL_POINTER, function(NULL, 1, NULL)); \
    GIVES(OK, function(options, 1, NULL))
    SETS_A_VALUE(elector_options_set_create_table);
    SETS_A_VALUE(elector_options_set_lease_ms);
    SETS_A_VALUE(elector_options_set_renew_ms);
    SETS_A_VALUE(elector_options_set_jitter_ms);
    SETS_A_VALUE(elector_options_set_margin_ms);
    SETS_A_VALUE(elector_options_set_strict);
    SETS_A_VALUE(elector_options_set_progress_gate);
    GIVES(NULL_POINTER, elector_options_on_change(NULL, NULL, NULL, &error));
    GIVES(NULL_POINTER, elector_options_on_change(NULL, NULL, NULL, NULL));
    GIVES(OK, elector_options_on_change(options, NULL, NULL, NULL));
    GIVES(NULL_POINTER, elector_options_on_log(NULL, NULL, NULL, &error));
    GIVES(NULL_POINTER, elector_options_on_log(NULL, NULL, NULL, NULL));
    GIVES(OK, elector_options_on_log(options, NULL, NULL, NULL));
    elector_options_free(options);
}

static void the_life_of_an_elector_takes_null(void)
{
    struct elector_error error;
    struct stand stand = {.store = "memory:null"};
    struct elector_options *options = options_of(&stand);
    struct elector *elector = (struct elector *)&error;
    GIVES(NULL_POINTER, elector_new(options, NULL, &error));
    CHECK(strstr(error.message, "elector_out is NULL") != NULL);
    GIVES(NULL_POINTER, elector_new(options, NULL, NULL));
    GIVES(NULL_POINTER, elector_new(NULL, &elector, &error));
    CHECK(elector == NULL && strstr(error.message, "options is NULL") != NULL);
    GIVES(OK, elector_new(options, &elector, NULL));
    elector_options_free(options);
#define ACTS(call_of_null, call) \
    GIVES(NULL_POINTER, call_of_null(&error)); \
    CHECK(error.status == ELECTOR_STATUS_NULL_POINTER && strstr(error.message, "elector is NULL") != NULL); \
    GIVES(NULL_POINTER, call_of_null(NULL)); \
    GIVES(OK, call)
#define CAMPAIGN(error) elector_campaign(NULL, error)
#define CONNECT(error) elector_connect(NULL, 1000, error)
#define ALIVE(error) elector_alive(NULL, error)
#define DRAIN(error) elector_drain(NULL, error)
#define DRAIN_FOR(error) elector_drain_for(NULL, 1000, error)
#define DRAINED(error) elector_drained(NULL, error)
#define RELEASE(error) elector_release(NULL, 1000, error)
    ACTS(CAMPAIGN, elector_campaign(elector, NULL));
    ACTS(CONNECT, elector_connect(elector, SOON_MS, NULL));
    ACTS(ALIVE, elector_alive(elector, NULL));
    ACTS(DRAIN, elector_drain(elector, NULL));
    ACTS(DRAIN_FOR, elector_drain_for(elector, 1000, NULL));
    ACTS(DRAINED, elector_drained(elector, NULL));
    ACTS(RELEASE, elector_release(elector, SOON_MS, NULL));
    elector_free(elector);
    elector_free(NULL);
}

static void questions_take_null(void)
{
    struct elector_error error;
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    struct elector_change change = ELECTOR_CHANGE_INIT;
    char text[8] = "before";
    struct elector *elector = candidate("memory:null", "a");
    REQUIRE(lead(elector));
    CHECK(!elector_am_i_leader(NULL) && elector_token(NULL) == 0);
    CHECK(elector_get_view(NULL) == NULL && !elector_am_i_leader_inline(NULL));
    GIVES(NULL_POINTER, elector_get_leadership(NULL, &now, &error));
    GIVES(NULL_POINTER, elector_get_leadership(elector, NULL, &error));
    CHECK(strstr(error.message, "leadership_out is NULL") != NULL);
    GIVES(NULL_POINTER, elector_get_leadership(NULL, NULL, NULL));
    GIVES(OK, elector_get_leadership(elector, &now, NULL));
    GIVES(NULL_POINTER, elector_wait(NULL, 0, 0, &now));
    GIVES(OK, elector_wait(elector, 0, SOON_MS, NULL));
    GIVES(NULL_POINTER, elector_get_change(NULL, 1, &change, &error));
    GIVES(NULL_POINTER, elector_get_change(elector, 1, NULL, &error));
    CHECK(strstr(error.message, "change_out is NULL") != NULL);
    GIVES(OK, elector_get_change(elector, 1, &change, NULL));

    CHECK(elector_leader(NULL, text, sizeof text) == 0 && text[0] == '\0');
    CHECK(elector_leader(elector, NULL, 0) == 2 && elector_leader(elector, NULL, 99) == 2);
    strcpy(text, "before");
    CHECK(elector_guard_sql(NULL, text, sizeof text) == 0 && text[0] == '\0');
    CHECK(elector_guard_sql(elector, NULL, 0) == 0);
    strcpy(text, "before");
    CHECK(elector_last_error(NULL, text, sizeof text) == 0 && text[0] == '\0');
    CHECK(elector_last_error(elector, NULL, 0) == 0 && elector_last_error(elector, NULL, 99) == 0);
    elector_free(elector);
}

static void the_machine_takes_null(void)
{
    struct elector_error error;
    struct elector_input input = ELECTOR_INPUT_INIT;
    struct elector_output output = ELECTOR_OUTPUT_INIT;
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    struct stand stand = {.store = "memory:null", .candidate = "a"};
    struct elector_options *options = options_of(&stand);
    struct elector_lease *lease = (struct elector_lease *)&error;
    GIVES(NULL_POINTER, elector_lease_new(options, 1, 1, 1, NULL, &error));
    GIVES(NULL_POINTER, elector_lease_new(NULL, 1, 1, 1, &lease, &error));
    CHECK(lease == NULL);
    GIVES(OK, elector_lease_new(options, 1, 1, 1, &lease, NULL));
    elector_options_free(options);
    input.kind = ELECTOR_INPUT_KIND_CAMPAIGN;
    GIVES(NULL_POINTER, elector_lease_input(NULL, 1, &input, &error));
    GIVES(NULL_POINTER, elector_lease_input(lease, 1, NULL, &error));
    GIVES(OK, elector_lease_input(lease, 1, &input, NULL));
    GIVES(NULL_POINTER, elector_lease_poll(NULL, &output, &error));
    GIVES(NULL_POINTER, elector_lease_poll(lease, NULL, &error));
    GIVES(OK, elector_lease_poll(lease, &output, NULL));
    GIVES(NULL_POINTER, elector_lease_leadership(NULL, 1, &now, &error));
    GIVES(NULL_POINTER, elector_lease_leadership(lease, 1, NULL, &error));
    GIVES(OK, elector_lease_leadership(lease, 1, &now, NULL));
    elector_lease_free(lease);
    elector_lease_free(NULL);
    CHECK(elector_sql(ELECTOR_STATEMENT_LOOK, ELECTOR_DIALECT_SQLITE, NULL, NULL, 0) > 0);
}

const struct test pointers_tests[] = {
    TEST(options_take_null),
    TEST(the_life_of_an_elector_takes_null),
    TEST(questions_take_null),
    TEST(the_machine_takes_null),
    END_OF_TESTS,
};
