/* What a store's answers do to the pure machine: late, doubled, unknown, senseless. */
#include "host.h"

static struct host a_host(void)
{
    struct stand stand = {.store = "memory:unused", .candidate = "api-1"};
    return host_of(&stand, 0x5eed);
}

/* A leader whose latest request was answered with `reply`. */
static struct host a_leader(struct elector_input *reply)
{
    struct host host = a_host();
    host.is_cut = true;
    tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
    CHECK(host.request.kind == ELECTOR_OUTPUT_KIND_SEND && host.request.op == ELECTOR_OP_ACQUIRE);
    CHECK(host.request.request_deadline_ns > host.now_ns);
    *reply = execute(&host, &host.request);
    tell_input(&host, reply);
    CHECK(leads(&host));
    return host;
}

static void doubled_and_late_replies_change_nothing(void)
{
    struct elector_input grant, wrong;
    struct host host = a_leader(&grant);
    unsigned events = host.count;
    uint64_t left;
    host.now_ns += S;
    left = trusted_for_ms(&host);
    tell_input(&host, &grant);
    tell_input(&host, &grant);
    wrong = grant;
    wrong.token = 99;
    tell_input(&host, &wrong);
    wrong.request_id = 12345;
    tell_input(&host, &wrong);
    wrong.outcome = ELECTOR_OUTCOME_LOST;
    tell_input(&host, &wrong);
    CHECK(host.count == events && trusted_for_ms(&host) == left && leads(&host));
    end_host(&host);
}

static void a_grant_that_comes_after_a_release_is_given_back(void)
{
    struct host host = a_host();
    struct elector_input grant;
    host.is_cut = true;
    tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
    grant = execute(&host, &host.request);
    tell(&host, ELECTOR_INPUT_KIND_RELEASE);
    tell_input(&host, &grant);
    CHECK(!leads(&host) && count_of(&host, ELECTOR_EVENT_ELECTED) == 0);
    CHECK(host.request.op == ELECTOR_OP_RELEASE && host.request.token == grant.token);
    end_host(&host);
}

static void trust_counts_from_the_send_and_not_from_the_answer(void)
{
    struct host host = a_host();
    struct elector_input grant;
    host.is_cut = true;
    tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
    host.now_ns += S;
    grant = execute(&host, &host.request);
    tell_input(&host, &grant);
    CHECK(leads(&host) && trusted_for_ms(&host) <= 8300);
    end_host(&host);
}

static void an_unknown_outcome_is_looked_into_and_the_own_row_adopted(void)
{
    struct host host = a_host();
    struct elector_input reply;
    host.is_cut = true;
    tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
    reply = execute(&host, &host.request);
    reply.outcome = ELECTOR_OUTCOME_UNKNOWN;
    reply.has_clock = false;
    host.is_cut = false;
    tell_input(&host, &reply);
    pass(&host, 2 * S);
    CHECK(leads(&host) && host.row.token == 1);
    end_host(&host);
}

static void failures_are_tried_again_and_a_refusal_too(void)
{
    static const enum elector_outcome failures[] = {
        ELECTOR_OUTCOME_UNSENT, ELECTOR_OUTCOME_UNKNOWN, ELECTOR_OUTCOME_REFUSED,
    };
    size_t at;
    for (at = 0; at < sizeof failures / sizeof failures[0]; at++) {
        struct host host = a_host();
        struct elector_input reply = ELECTOR_INPUT_INIT;
        host.is_cut = true;
        tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
        reply.kind = ELECTOR_INPUT_KIND_REPLY;
        reply.request_id = host.request.request_id;
        reply.outcome = (int32_t)failures[at];
        tell_input(&host, &reply);
        CHECK(!leads(&host));
        host.is_cut = false;
        pass(&host, 20 * S);
        CHECK(leads(&host));
        end_host(&host);
    }
}

static void a_step_of_the_store_clock_and_a_new_timeline_are_told(void)
{
    struct host host = a_host();
    host.row = (struct row){true, "api-2#00000000000000ff", "", 41, 10000, 2000 * 1000000ll};
    host.timeline = 1;
    tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
    pass(&host, 5 * S);
    host.store_ahead_us = 5000000;
    pass(&host, 5 * S);
    CHECK(count_of(&host, ELECTOR_EVENT_STORE_CLOCK_STEPPED) == 1);
    CHECK(latest(&host, ELECTOR_EVENT_STORE_CLOCK_STEPPED)->by_us > 4000000);
    CHECK(latest(&host, ELECTOR_EVENT_STORE_CLOCK_STEPPED)->by_us < 6000000);
    host.timeline = 2;
    pass(&host, 5 * S);
    CHECK(count_of(&host, ELECTOR_EVENT_TIMELINE_CHANGED) == 1);
    /* A row of a lease of 10 s cannot expire in 1000 s. */
    CHECK(latest(&host, ELECTOR_EVENT_POISONED_ROW) != NULL);
    CHECK(latest(&host, ELECTOR_EVENT_POISONED_ROW)->by_us > 900000000);
    end_host(&host);
}

static void senseless_input_is_refused_and_not_told(void)
{
    struct elector_input good, wrong = ELECTOR_INPUT_INIT;
    struct elector_error error;
    struct host host = a_leader(&good);
    static const int32_t kinds[] = {0, ELECTOR_INPUT_KIND_DRAIN_FOR + 1, -1, INT32_MIN, INT32_MAX};
    size_t at;
    for (at = 0; at < sizeof kinds / sizeof kinds[0]; at++) {
        wrong.kind = kinds[at];
        GIVES(INVALID_ARGUMENT, elector_lease_input(host.lease, host.now_ns, &wrong, &error));
        CHECK(strstr(error.message, "elector_input_kind") != NULL);
        wrong.kind = ELECTOR_INPUT_KIND_REPLY;
        wrong.outcome = kinds[at];
        GIVES(INVALID_ARGUMENT, elector_lease_input(host.lease, host.now_ns, &wrong, &error));
        CHECK(strstr(error.message, "elector_outcome") != NULL);
    }
    wrong = good;
    wrong.token = 0;
    GIVES(INVALID_ARGUMENT, elector_lease_input(host.lease, host.now_ns, &wrong, &error));
    wrong.token = UINT64_MAX;
    GIVES(INVALID_ARGUMENT, elector_lease_input(host.lease, host.now_ns, &wrong, &error));
    wrong.outcome = ELECTOR_OUTCOME_SEEN;
    wrong.has_row = true;
    wrong.row_token = UINT64_MAX;
    GIVES(INVALID_ARGUMENT, elector_lease_input(host.lease, host.now_ns, &wrong, &error));
    wrong.row_token = 0;
    wrong.row_holder = "\xff";
    GIVES(INVALID_UTF8, elector_lease_input(host.lease, host.now_ns, &wrong, &error));
    CHECK(strstr(error.message, "row_holder") != NULL);
    wrong.row_holder = NULL;
    wrong.row_meta = "\xff";
    GIVES(INVALID_UTF8, elector_lease_input(host.lease, host.now_ns, &wrong, &error));
    CHECK(leads(&host));
    end_host(&host);
}

static void a_machine_needs_names(void)
{
    struct elector_error error;
    struct elector_lease *lease = NULL;
    struct elector_options *options = elector_options_new();
    GIVES(INVALID_ARGUMENT, elector_lease_new(options, 1, 1, 0, &lease, &error));
    CHECK(strstr(error.message, "elector_options_set_candidate") != NULL && lease == NULL);
    GIVES(OK, elector_options_set_candidate(options, "a", NULL));
    GIVES(INVALID_ARGUMENT, elector_lease_new(options, 1, 1, 0, &lease, &error));
    CHECK(strstr(error.message, "elector_options_set_election") != NULL);
    GIVES(OK, elector_options_set_election(options, "e", NULL));
    GIVES(OK, elector_options_set_lease_ms(options, 1, NULL));
    GIVES(INVALID_TIMING, elector_lease_new(options, 1, 1, 0, &lease, &error));
    GIVES(OK, elector_options_set_lease_ms(options, 0, NULL));
    GIVES(OK, elector_lease_new(options, UINT64_MAX, UINT64_MAX, UINT64_MAX, &lease, &error));
    elector_options_free(options);
    elector_lease_free(lease);
}

const struct test replies_tests[] = {
    TEST(doubled_and_late_replies_change_nothing),
    TEST(a_grant_that_comes_after_a_release_is_given_back),
    TEST(trust_counts_from_the_send_and_not_from_the_answer),
    TEST(an_unknown_outcome_is_looked_into_and_the_own_row_adopted),
    TEST(failures_are_tried_again_and_a_refusal_too),
    TEST(a_step_of_the_store_clock_and_a_new_timeline_are_told),
    TEST(senseless_input_is_refused_and_not_told),
    TEST(a_machine_needs_names),
    END_OF_TESTS,
};
