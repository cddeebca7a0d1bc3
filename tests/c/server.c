/* Guards and statements as a real PostgreSQL takes them, by psql. The one of ELECTOR_TEST_POSTGRES_C. */
#define _GNU_SOURCE
#include "check.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

/* A schema of this process's own whose name needs quotes, and the same as an identifier. */
static char schema[64], quoted[64];

/* Has psql execute a script. A fault ends it, and psql says which. */
__attribute__((format(printf, 1, 2))) static bool executes(const char *script, ...)
{
    static const char psql[] = "psql -X -q -v ON_ERROR_STOP=1 -d \"$ELECTOR_TEST_POSTGRES_C\" >/dev/null";
    FILE *input = popen(psql, "w");
    va_list values;
    if (input == NULL)
        return false;
    fputs("SET client_min_messages = warning;\n", input);
    va_start(values, script);
    vfprintf(input, script, values);
    va_end(values);
    return pclose(input) == 0;
}

static bool has_schema(void)
{
    if (getenv("ELECTOR_TEST_POSTGRES_C") == NULL) {
        fputs("ELECTOR_TEST_POSTGRES_C is not set: run tests/run.sh c, or give a superuser's URL\n", stderr);
        return false;
    }
    /* If psql is missing, its end says so, not a signal. */
    signal(SIGPIPE, SIG_IGN);
    snprintf(schema, sizeof schema, "c \"own\" %d", (int)getpid());
    snprintf(quoted, sizeof quoted, "\"c \"\"own\"\" %d\"", (int)getpid());
    return executes("DROP SCHEMA IF EXISTS %s CASCADE; CREATE SCHEMA %s CREATE TABLE work (token bigint);",
                    quoted, quoted);
}

/* On the server, and with names that need quotes. */
static struct elector *on_server(const char *candidate)
{
    struct stand stand = {.store = getenv("ELECTOR_TEST_POSTGRES_C"), .election = "it's \"c\"",
                          .candidate = candidate, .lease_ms = LONG_MS};
    struct elector *elector = NULL;
    struct elector_error error;
    struct elector_options *options = options_of(&stand);
    enum elector_status status;
    uint64_t started = elector_now_ns();
    GIVES(OK, elector_options_set_schema(options, schema, NULL));
    status = elector_new(options, &elector, &error);
    /* On a busy machine it may take longer than an attempt may. */
    if (status == ELECTOR_STATUS_OK)
        do
            status = elector_connect(elector, SOON_MS, &error);
        while (status == ELECTOR_STATUS_STORE_FAILED && since_ms(started) < SOON_MS);
    if (!GIVES(OK, status))
        fprintf(stderr, "%s\n", error.message);
    elector_options_free(options);
    return elector;
}

static void a_guard_is_written_whole_or_not_at_all(void)
{
    char sql[1024];
    size_t length;
    struct elector *elector;
    REQUIRE(has_schema());
    elector = on_server("a");
    REQUIRE(lead(elector));
    length = elector_guard_sql(elector, NULL, 0);
    REQUIRE(length > 0 && length + 1 < sizeof sql);
    memset(sql, '#', sizeof sql);
    CHECK(elector_guard_sql(elector, sql, length + 1) == length);
    CHECK(memchr(sql, '\0', sizeof sql) == sql + length && sql[length + 1] == '#');
    CHECK(strstr(sql, quoted) != NULL);
    memset(sql, '#', sizeof sql);
    CHECK(elector_guard_sql(elector, sql, length) == length && sql[0] == '\0' && sql[length] == '#');
    elector_free(elector);
    CHECK(executes("DROP SCHEMA %s CASCADE", quoted));
}

/* Works as the header says: it rolls back if the guard gives no row. */
static bool works(const char *guard, uint64_t token)
{
    return executes("BEGIN;\n%s;\nSELECT :ROW_COUNT = 1 AS lasts \\gset\n"
                    "\\if :lasts\nINSERT INTO %s.work VALUES (%" PRIu64 ");\nCOMMIT;\n"
                    "\\else\nROLLBACK;\n\\endif\n", guard, quoted, token);
}

/* Dividing by 0 is a fault. */
static bool has_worked_once(uint64_t token)
{
    return executes("SELECT 1 / (count(*) = 1)::int FROM %s.work WHERE token = %" PRIu64, quoted, token);
}

static void only_the_term_of_a_guard_commits_by_it(void)
{
    char old[1024], new[1024];
    struct elector *first, *second;
    uint64_t old_token, token;
    REQUIRE(has_schema());
    first = on_server("o'hara\\");
    second = on_server("b");
    REQUIRE(lead(first));
    old_token = elector_token(first);
    CHECK(elector_guard_sql(first, old, sizeof old) < sizeof old && old[0] != '\0');
    CHECK(works(old, old_token) && has_worked_once(old_token));
    GIVES(OK, elector_release(first, SOON_MS, NULL));
    CHECK(elector_guard_sql(first, new, sizeof new) == 0 && new[0] == '\0');
    REQUIRE(lead(second));
    token = elector_token(second);
    CHECK(token > old_token);
    CHECK(works(old, old_token) && has_worked_once(old_token));
    CHECK(elector_guard_sql(second, new, sizeof new) < sizeof new && new[0] != '\0');
    CHECK(works(new, token) && has_worked_once(token));
    elector_free(first);
    elector_free(second);
    CHECK(executes("DROP SCHEMA %s CASCADE", quoted));
}

/* A host of the pure machine has nothing else to make its table and to keep its term by. */
static void the_statements_are_all_that_a_host_needs(void)
{
    static char sql[ELECTOR_STATEMENT_GUARD + 1][8192];
    int at;
    REQUIRE(has_schema());
    for (at = ELECTOR_STATEMENT_CREATE_TABLE; at <= ELECTOR_STATEMENT_GUARD; at++)
        CHECK(elector_sql(at, ELECTOR_DIALECT_POSTGRES, schema, sql[at], sizeof sql[at]) < sizeof sql[at]);
    CHECK(executes("BEGIN;\n%s;\nCOMMIT;\n", sql[ELECTOR_STATEMENT_CREATE_TABLE]));
    CHECK(executes("BEGIN;\n%s;\nCOMMIT;\n", sql[ELECTOR_STATEMENT_CLEAN_UP]));
    CHECK(executes(
        "PREPARE look AS %s;\nPREPARE acquire AS %s;\nPREPARE renew AS %s;\nPREPARE release AS %s;\n"
        "PREPARE guard AS %s;\n"
        "EXECUTE acquire('{e}', '{a}', '{m}', '{60000}', '{any}', '{0}', '{0}') \\gset\n"
        "EXECUTE renew('{e}', '{a}', ARRAY[:granted], '{60000}') \\gset\n"
        "SELECT 1 / (:'renewed')::bool::int;\n"
        "EXECUTE look('{e}') \\gset\n"
        "SELECT 1 / (:token = :granted AND :'leader_id' = 'a' AND :remaining_us > 0)::int;\n"
        "EXECUTE guard('e', 'a', :granted);\nSELECT 1 / (:ROW_COUNT = 1)::int;\n"
        "EXECUTE release('{e}', '{a}', ARRAY[:granted], 'any');\n"
        "EXECUTE guard('e', 'a', :granted);\nSELECT 1 / (:ROW_COUNT = 0)::int;\n",
        sql[ELECTOR_STATEMENT_LOOK], sql[ELECTOR_STATEMENT_ACQUIRE], sql[ELECTOR_STATEMENT_RENEW],
        sql[ELECTOR_STATEMENT_RELEASE], sql[ELECTOR_STATEMENT_GUARD]));
    CHECK(executes("DROP SCHEMA %s CASCADE", quoted));
}

const struct test server_tests[] = {
    TEST(a_guard_is_written_whole_or_not_at_all),
    TEST(only_the_term_of_a_guard_commits_by_it),
    TEST(the_statements_are_all_that_a_host_needs),
    END_OF_TESTS,
};
