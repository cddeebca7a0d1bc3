/* The pure machine, driven through whole lives with a clock of the test's. */
#include "host.h"

static struct host a_host(void)
{
    struct stand stand = {.store = "memory:unused", .candidate = "api-1", .meta = "http://api-1"};
    return host_of(&stand, 0x5eed);
}

static void a_machine_leads_renews_and_releases(void)
{
    struct host host = a_host();
    CHECK(!leads(&host) && host.requests == 0);
    tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
    CHECK(leads(&host) && host.events[0].event == ELECTOR_EVENT_ELECTED && host.events[0].token == 1);
    CHECK(strcmp(host.row.holder, "api-1#0000000000005eed") == 0);
    CHECK(strcmp(host.row.meta, "http://api-1") == 0);
    CHECK(host.row.lease_ms == 10000);
    CHECK(strcmp(latest(&host, ELECTOR_EVENT_LEADER_CHANGED)->leader, "api-1") == 0);
    pass(&host, 60 * S);
    CHECK(leads(&host) && count_of(&host, ELECTOR_EVENT_RENEWED) >= 15);
    CHECK(host.request.op == ELECTOR_OP_RENEW && host.request.token == 1 && host.request.lease_ms == 10000);
    tell(&host, ELECTOR_INPUT_KIND_RELEASE);
    CHECK(!leads(&host) && host.request.op == ELECTOR_OP_RELEASE && host.row.holder[0] == '\0');
    CHECK(latest(&host, ELECTOR_EVENT_DEPOSED)->reason == ELECTOR_REASON_RELEASED);
    pass(&host, 60 * S);
    CHECK(host.request.op == ELECTOR_OP_RELEASE && !leads(&host));
    tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
    CHECK(leads(&host) && latest(&host, ELECTOR_EVENT_ELECTED)->token == 2);
    end_host(&host);
}

static void trust_ends_by_the_clock_alone(void)
{
    struct host host = a_host();
    uint64_t left;
    tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
    left = trusted_for_ms(&host);
    CHECK(left > 9000 && left < 9900);
    host.now_ns += left * MS;
    CHECK(leads(&host));
    host.now_ns += MS;
    /* The machine got no TIMEOUT. An earlier time does not bring the term back once a later one was input. */
    CHECK(!leads(&host) && count_of(&host, ELECTOR_EVENT_DEPOSED) == 0);
    host.is_cut = true;
    tell(&host, ELECTOR_INPUT_KIND_TIMEOUT);
    CHECK(latest(&host, ELECTOR_EVENT_DEPOSED)->reason == ELECTOR_REASON_EXPIRED);
    host.now_ns -= 5 * S;
    CHECK(!leads(&host));
    end_host(&host);
}

static void renewals_that_fail_put_a_term_at_risk_and_end_it(void)
{
    struct host host = a_host();
    tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
    host.is_cut = true;
    pass(&host, 20 * S);
    CHECK(count_of(&host, ELECTOR_EVENT_AT_RISK) > 0 && count_of(&host, ELECTOR_EVENT_STOP_NEW_WORK) == 1);
    CHECK(count_of(&host, ELECTOR_EVENT_DEPOSED) == 1 && !leads(&host));
    host.is_cut = false;
    pass(&host, 30 * S);
    CHECK(leads(&host) && latest(&host, ELECTOR_EVENT_ELECTED)->token > 1);
    end_host(&host);
}

static void a_standby_waits_and_is_told_who_leads(void)
{
    struct host host = a_host();
    const struct event *changed;
    host.row = (struct row){true, "api-2#00000000000000ff", "http://api-2", 41, 10000, 1010 * 1000000ll};
    tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
    CHECK(!leads(&host));
    changed = latest(&host, ELECTOR_EVENT_LEADER_CHANGED);
    CHECK(changed != NULL && strcmp(changed->leader, "api-2") == 0 && changed->token == 41);
    CHECK(strcmp(changed->leader_meta, "http://api-2") == 0);
    pass(&host, 9900 * MS);
    CHECK(!leads(&host));
    pass(&host, 400 * MS);
    CHECK(leads(&host) && latest(&host, ELECTOR_EVENT_ELECTED)->token == 42);
    end_host(&host);
}

static void a_hint_makes_a_standby_look_at_once(void)
{
    struct host host = a_host();
    unsigned requests;
    host.row = (struct row){true, "api-2#00000000000000ff", "", 41, 10000, 1010 * 1000000ll};
    tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
    pass(&host, S);
    host.row.holder[0] = '\0';
    host.row.expires_us = 0;
    requests = host.requests;
    tell(&host, ELECTOR_INPUT_KIND_HINT);
    pass(&host, 200 * MS);
    CHECK(host.requests > requests && leads(&host));
    end_host(&host);
}

static void a_lost_lease_and_a_revoked_one_end_the_term_at_once(void)
{
    struct host host = a_host();
    tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
    host.row.token++;
    pass(&host, 4 * S);
    CHECK(latest(&host, ELECTOR_EVENT_DEPOSED)->reason == ELECTOR_REASON_LOST);
    pass(&host, 20 * S);
    CHECK(leads(&host));
    tell(&host, ELECTOR_INPUT_KIND_REVOKED);
    CHECK(latest(&host, ELECTOR_EVENT_DEPOSED)->reason == ELECTOR_REASON_REVOKED);
    end_host(&host);
}

static void a_draining_machine_renews_until_it_is_drained(void)
{
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    struct host host = a_host();
    tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
    tell(&host, ELECTOR_INPUT_KIND_DRAIN);
    CHECK(!leads(&host) && latest(&host, ELECTOR_EVENT_STOP_NEW_WORK) != NULL);
    pass(&host, 30 * S);
    GIVES(OK, elector_lease_leadership(host.lease, host.now_ns, &now, NULL));
    CHECK(now.token == 1 && !now.is_leader);
    CHECK(now.work_for_ms > 0 && now.trusted_for_ms - now.work_for_ms == 1000);
    CHECK(host.row.holder[0] != '\0' && host.request.op == ELECTOR_OP_RENEW);
    tell(&host, ELECTOR_INPUT_KIND_DRAINED);
    CHECK(host.request.op == ELECTOR_OP_RELEASE && host.row.holder[0] == '\0');
    end_host(&host);
}

static void a_drain_with_a_bound_is_renewed_until_then_and_ends_by_itself(void)
{
    struct elector_input input = ELECTOR_INPUT_INIT;
    struct host host = a_host();
    tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
    input.kind = ELECTOR_INPUT_KIND_DRAIN_FOR;
    input.drain_ms = 20000;
    tell_input(&host, &input);
    CHECK(!leads(&host) && count_of(&host, ELECTOR_EVENT_STOP_NEW_WORK) == 1);
    pass(&host, 20 * S);
    CHECK(trusted_for_ms(&host) > 0 && count_of(&host, ELECTOR_EVENT_RENEWED) >= 5);
    pass(&host, 10 * S);
    CHECK(count_of(&host, ELECTOR_EVENT_STOP_NEW_WORK) == 2);
    CHECK(latest(&host, ELECTOR_EVENT_DEPOSED)->reason == ELECTOR_REASON_STALLED);
    end_host(&host);
}

static void the_progress_gate_withholds_renewals(void)
{
    struct stand stand = {.store = "memory:unused", .candidate = "a", .progress_gate = true};
    struct host host = host_of(&stand, 1);
    uint64_t lease = 10 * S;
    int round;
    tell(&host, ELECTOR_INPUT_KIND_ALIVE);
    tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
    for (round = 0; round < 10; round++) {
        pass(&host, lease / 4);
        tell(&host, ELECTOR_INPUT_KIND_ALIVE);
    }
    CHECK(leads(&host) && count_of(&host, ELECTOR_EVENT_AT_RISK) == 0);
    pass(&host, 2 * lease);
    CHECK(!leads(&host) && latest(&host, ELECTOR_EVENT_DEPOSED)->reason == ELECTOR_REASON_STALLED);
    CHECK(count_of(&host, ELECTOR_EVENT_AT_RISK) == 1 && count_of(&host, ELECTOR_EVENT_STOP_NEW_WORK) == 1);
    CHECK(latest(&host, ELECTOR_EVENT_AT_RISK) < latest(&host, ELECTOR_EVENT_STOP_NEW_WORK));
    CHECK(latest(&host, ELECTOR_EVENT_STOP_NEW_WORK) < latest(&host, ELECTOR_EVENT_DEPOSED));
    end_host(&host);
}

static void a_strict_machine_demands_what_stood_unchanged_for_a_lease(void)
{
    struct stand stand = {.store = "memory:unused", .candidate = "a", .strict = true};
    struct host host = host_of(&stand, 1);
    uint64_t lease = 10 * S;
    tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
    pass(&host, lease - S);
    CHECK(!leads(&host) && host.request.op != ELECTOR_OP_ACQUIRE);
    pass(&host, 2 * S + lease);
    CHECK(leads(&host));
    end_host(&host);

    /* An expired row, untouched: it is asked for as it was seen. */
    host = host_of(&stand, 1);
    host.row = (struct row){true, "b#00000000000000ff", "", 41, 10000, 5};
    host.is_cut = false;
    tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
    while (host.request.op != ELECTOR_OP_ACQUIRE && host.now_ns < 1000 * S + 3 * lease)
        pass(&host, S / 10);
    CHECK(host.request.unchanged == ELECTOR_UNCHANGED_SAME);
    CHECK(host.request.unchanged_token == 41 && host.request.unchanged_expires_us == 5);
    CHECK(host.now_ns >= 1000 * S + lease && leads(&host));
    end_host(&host);
}

static void an_absent_row_is_demanded_to_be_absent(void)
{
    struct stand stand = {.store = "memory:unused", .candidate = "a", .strict = true};
    struct host host = host_of(&stand, 1);
    tell(&host, ELECTOR_INPUT_KIND_CAMPAIGN);
    while (host.request.op != ELECTOR_OP_ACQUIRE && host.now_ns < 1000 * S + 30 * S)
        pass(&host, S / 10);
    CHECK(host.request.unchanged == ELECTOR_UNCHANGED_ABSENT && leads(&host));
    end_host(&host);
}

const struct test machine_tests[] = {
    TEST(a_machine_leads_renews_and_releases),
    TEST(trust_ends_by_the_clock_alone),
    TEST(renewals_that_fail_put_a_term_at_risk_and_end_it),
    TEST(a_standby_waits_and_is_told_who_leads),
    TEST(a_hint_makes_a_standby_look_at_once),
    TEST(a_lost_lease_and_a_revoked_one_end_the_term_at_once),
    TEST(a_draining_machine_renews_until_it_is_drained),
    TEST(a_drain_with_a_bound_is_renewed_until_then_and_ends_by_itself),
    TEST(the_progress_gate_withholds_renewals),
    TEST(a_strict_machine_demands_what_stood_unchanged_for_a_lease),
    TEST(an_absent_row_is_demanded_to_be_absent),
    END_OF_TESTS,
};
