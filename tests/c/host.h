/* A host of the pure machine, with a clock that jumps and a store that is one row. */
#ifndef HOST_H
#define HOST_H

#include "check.h"

#define MS 1000000ull
#define S (1000 * MS)

struct row {
    bool exists;
    char holder[300], meta[64];
    uint64_t token, lease_ms;
    int64_t expires_us;
};

struct event {
    enum elector_event event;
    enum elector_reason reason;
    uint64_t token;
    int64_t by_us;
    char leader[64], leader_meta[64];
};

struct host {
    struct elector_lease *lease;
    uint64_t now_ns, wait_ns;
    /* The store's clock is this one's, in microseconds, and so much more. */
    int64_t store_ahead_us;
    uint64_t timeline;
    struct row row;
    /* The store answers nothing: requests pile up in `request`. */
    bool is_cut;
    struct elector_output request;
    unsigned requests;
    struct event events[64];
    unsigned count;
};

/* A lease of 10 s, trusted for 9.2. */
struct host host_of(const struct stand *stand, uint64_t incarnation);
void end_host(struct host *host);
/* Tells the machine and does all that it says. */
void tell(struct host *host, enum elector_input_kind kind);
void tell_input(struct host *host, const struct elector_input *input);
/* Lets so much time pass, with every timeout on its way. */
void pass(struct host *host, uint64_t ns);
/* What the store answers to a request now. */
struct elector_input execute(struct host *host, const struct elector_output *request);
bool leads(const struct host *host);
uint64_t trusted_for_ms(const struct host *host);
/* The latest event of this kind, or NULL. */
const struct event *latest(const struct host *host, enum elector_event event);
unsigned count_of(const struct host *host, enum elector_event event);

#endif
