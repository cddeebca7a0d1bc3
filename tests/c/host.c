/* The body of host.h. */
#include "host.h"

static void copy(char *to, size_t capacity, const char *from)
{
    snprintf(to, capacity, "%s", from == NULL ? "" : from);
}

struct host host_of(const struct stand *stand, uint64_t incarnation)
{
    struct host host;
    struct elector_options *options = options_of(stand);
    memset(&host, 0, sizeof host);
    /* Its clock is the test's, however slow the machine is. */
    GIVES(OK, elector_options_set_lease_ms(options, 10000, NULL));
    GIVES(OK, elector_options_set_margin_ms(options, 0, NULL));
    host.now_ns = 1000 * S;
    GIVES(OK, elector_lease_new(options, incarnation, 7, host.now_ns, &host.lease, NULL));
    elector_options_free(options);
    return host;
}

void end_host(struct host *host)
{
    elector_lease_free(host->lease);
}

struct elector_input execute(struct host *host, const struct elector_output *request)
{
    struct elector_input reply = ELECTOR_INPUT_INIT;
    struct row *row = &host->row;
    int64_t now_us = (int64_t)(host->now_ns / 1000) + host->store_ahead_us;
    bool is_free = !row->exists || row->expires_us <= now_us;
    bool is_same = request->unchanged == ELECTOR_UNCHANGED_ANY ||
                   (request->unchanged == ELECTOR_UNCHANGED_ABSENT && !row->exists) ||
                   (request->unchanged == ELECTOR_UNCHANGED_SAME && row->exists &&
                    row->token == request->unchanged_token &&
                    row->expires_us == request->unchanged_expires_us);
    bool is_holder = row->exists && request->holder != NULL && strcmp(row->holder, request->holder) == 0 &&
                     row->token == request->token;
    reply.kind = ELECTOR_INPUT_KIND_REPLY;
    reply.request_id = request->request_id;
    reply.has_clock = true;
    reply.store_now_us = now_us;
    reply.timeline = host->timeline;
    if (request->op == ELECTOR_OP_ACQUIRE && is_free && is_same) {
        row->exists = true;
        row->token++;
        row->lease_ms = request->lease_ms;
        row->expires_us = now_us + (int64_t)request->lease_ms * 1000;
        copy(row->holder, sizeof row->holder, request->holder);
        copy(row->meta, sizeof row->meta, request->meta);
        reply.outcome = ELECTOR_OUTCOME_GRANTED;
        reply.token = row->token;
    } else if (request->op == ELECTOR_OP_RENEW) {
        reply.outcome = is_holder && !is_free ? ELECTOR_OUTCOME_RENEWED : ELECTOR_OUTCOME_LOST;
        if (is_holder && !is_free)
            row->expires_us = now_us + (int64_t)request->lease_ms * 1000;
    } else if (request->op == ELECTOR_OP_RELEASE) {
        reply.outcome = ELECTOR_OUTCOME_RELEASED;
        if (is_holder) {
            row->expires_us = now_us;
            row->holder[0] = '\0';
        }
    } else {
        reply.outcome = ELECTOR_OUTCOME_SEEN;
        reply.has_row = row->exists;
        reply.row_holder = row->holder;
        reply.row_meta = row->meta[0] == '\0' ? NULL : row->meta;
        reply.row_token = row->token;
        reply.row_lease_ms = row->lease_ms;
        reply.row_expires_us = row->expires_us;
        reply.row_remaining_us = is_free ? 0 : (uint64_t)(row->expires_us - now_us);
    }
    return reply;
}

static void note(struct host *host, const struct elector_output *output)
{
    struct event *event = &host->events[host->count++ % 64];
    event->event = output->event;
    event->reason = output->reason;
    event->token = output->token;
    event->by_us = output->by_us;
    copy(event->leader, sizeof event->leader, output->leader);
    copy(event->leader_meta, sizeof event->leader_meta, output->leader_meta);
}

void tell_input(struct host *host, const struct elector_input *input)
{
    struct elector_output output = ELECTOR_OUTPUT_INIT;
    struct elector_input reply;
    GIVES(OK, elector_lease_input(host->lease, host->now_ns, input, NULL));
    while (GIVES(OK, elector_lease_poll(host->lease, &output, NULL)) &&
           output.kind != ELECTOR_OUTPUT_KIND_WAIT) {
        if (output.kind == ELECTOR_OUTPUT_KIND_EVENT) {
            note(host, &output);
            continue;
        }
        host->request = output;
        host->requests++;
        if (host->is_cut)
            continue;
        reply = execute(host, &output);
        GIVES(OK, elector_lease_input(host->lease, host->now_ns, &reply, NULL));
    }
    host->wait_ns = output.wait_latest_ns;
}

void tell(struct host *host, enum elector_input_kind kind)
{
    struct elector_input input = ELECTOR_INPUT_INIT;
    input.kind = (int32_t)kind;
    tell_input(host, &input);
}

void pass(struct host *host, uint64_t ns)
{
    uint64_t end = host->now_ns + ns;
    while (host->wait_ns <= end) {
        host->now_ns = host->wait_ns > host->now_ns ? host->wait_ns : host->now_ns;
        tell(host, ELECTOR_INPUT_KIND_TIMEOUT);
    }
    host->now_ns = end;
}

bool leads(const struct host *host)
{
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    GIVES(OK, elector_lease_leadership(host->lease, host->now_ns, &now, NULL));
    return now.is_leader;
}

uint64_t trusted_for_ms(const struct host *host)
{
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    GIVES(OK, elector_lease_leadership(host->lease, host->now_ns, &now, NULL));
    CHECK(now.revision == host->count);
    return now.trusted_for_ms;
}

const struct event *latest(const struct host *host, enum elector_event event)
{
    unsigned at = host->count;
    while (at > 0 && host->count - at < 64)
        if (host->events[--at % 64].event == event)
            return &host->events[at % 64];
    return NULL;
}

unsigned count_of(const struct host *host, enum elector_event event)
{
    unsigned at, found = 0;
    for (at = 0; at < host->count && at < 64; at++)
        found += host->events[at].event == event;
    return found;
}
