/* The statements, for hosts of the pure machine. */
#define _GNU_SOURCE
#include "check.h"

static const enum elector_statement statements[] = {
    ELECTOR_STATEMENT_CREATE_TABLE, ELECTOR_STATEMENT_LOOK,     ELECTOR_STATEMENT_ACQUIRE,
    ELECTOR_STATEMENT_RENEW,        ELECTOR_STATEMENT_RELEASE,  ELECTOR_STATEMENT_CLEAN_UP,
    ELECTOR_STATEMENT_GUARD,
};

static bool has_statement(enum elector_statement statement, enum elector_dialect dialect)
{
    bool is_of_postgres = statement == ELECTOR_STATEMENT_CLEAN_UP || statement == ELECTOR_STATEMENT_GUARD;
    return dialect == ELECTOR_DIALECT_POSTGRES || !is_of_postgres;
}

static void every_statement_of_every_dialect_is_told(void)
{
    static const char *const words[] = {"CREATE TABLE", "SELECT", "", "UPDATE",
                                        "", "DELETE", "FOR KEY SHARE"};
    enum elector_dialect dialect;
    size_t at;
    for (dialect = ELECTOR_DIALECT_POSTGRES; dialect <= ELECTOR_DIALECT_SQLITE; dialect++)
        for (at = 0; at < sizeof statements / sizeof statements[0]; at++) {
            char sql[8192] = "";
            size_t length = elector_sql(statements[at], dialect, NULL, sql, sizeof sql);
            CHECK(length == strlen(sql) && length < sizeof sql);
            CHECK(has_statement(statements[at], dialect) == (length > 0));
            CHECK(length == 0 || strstr(sql, words[at]) != NULL);
            CHECK(elector_sql(statements[at], dialect, NULL, NULL, 0) == length);
        }
}

static void the_schema_is_quoted_as_an_identifier(void)
{
    char sql[8192];
    elector_sql(ELECTOR_STATEMENT_LOOK, ELECTOR_DIALECT_POSTGRES, NULL, sql, sizeof sql);
    CHECK(strstr(sql, "\"public\".") != NULL);
    elector_sql(ELECTOR_STATEMENT_LOOK, ELECTOR_DIALECT_POSTGRES, "a\"; DROP TABLE b", sql, sizeof sql);
    CHECK(strstr(sql, "\"a\"\"; DROP TABLE b\".") != NULL);
}

static void what_does_not_fit_is_not_written(void)
{
    char sql[64] = "before";
    size_t length = elector_sql(ELECTOR_STATEMENT_ACQUIRE, ELECTOR_DIALECT_POSTGRES, NULL, sql, sizeof sql);
    CHECK(length >= sizeof sql && sql[0] == '\0');
    sql[0] = '#';
    CHECK(elector_sql(ELECTOR_STATEMENT_ACQUIRE, ELECTOR_DIALECT_POSTGRES, NULL, sql, 0) == length);
    CHECK(sql[0] == '#');
}

static void what_is_no_statement_is_nothing(void)
{
    char sql[64] = "before";
    CHECK(elector_sql(0, ELECTOR_DIALECT_POSTGRES, NULL, sql, sizeof sql) == 0 && sql[0] == '\0');
    CHECK(elector_sql(8, ELECTOR_DIALECT_SQLITE, NULL, sql, sizeof sql) == 0);
    CHECK(elector_sql(INT32_MIN, INT32_MAX, NULL, sql, sizeof sql) == 0);
    CHECK(elector_sql(ELECTOR_STATEMENT_LOOK, 0, NULL, sql, sizeof sql) == 0);
    CHECK(elector_sql(ELECTOR_STATEMENT_LOOK, 3, NULL, sql, sizeof sql) == 0);
    CHECK(elector_sql(ELECTOR_STATEMENT_LOOK, ELECTOR_DIALECT_POSTGRES, "\xff", sql, sizeof sql) == 0);
}

const struct test sql_tests[] = {
    TEST(every_statement_of_every_dialect_is_told),
    TEST(the_schema_is_quoted_as_an_identifier),
    TEST(what_does_not_fit_is_not_written),
    TEST(what_is_no_statement_is_nothing),
    END_OF_TESTS,
};
