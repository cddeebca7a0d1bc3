/*
 * Elector: leader election and leases. This is its C interface.
 *
 * Made by cbindgen from src/capi; changes go there. SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * WHAT IS PROMISED
 *   At no instant do two candidates of an election both answer true to elector_am_i_leader(), as long as a
 *   leader's clock and the store's run at rates that differ by at most 1 % over one lease. Each term has a
 *   fencing token larger than all before it.
 *
 * WHAT IS NOT
 *   That work which was started while leading stops in time: it must end before `trusted_for_ms` is over, or
 *   be checked by its token, or by the guard, where it lands. Nor one leader when the store's wall clock is
 *   stepped forward and the next leader had not read it before, when a promoted standby has lost commits,
 *   when a live row is deleted by hand, when the SQLite file is moved away or mounted over, or when a virtual
 *   machine is frozen without its clocks noticing; tokens protect what checks them.
 *
 * CONVENTIONS
 *   Status   Calls that can fail return an elector_status; 0 is OK. Their last parameter (but elector_wait's)
 *            is an elector_error of the caller's, or NULL, which says in one line what was asked, what is
 *            wrong and what to do.
 *   Handles  Made by ..._new, freed by ..._free, which takes NULL too. NULL elsewhere gives NULL_POINTER,
 *            false or 0. Any other pointer must be live: nobody can check that.
 *   Threads  An elector may be used by any number of threads at once, until elector_free. Options, and
 *            lease machines, by one thread at a time.
 *   Signals  A signal handler may call elector_am_i_leader, also inline, elector_token and elector_now_ns,
 *            and no other function.
 *   Strings  In: NUL-terminated UTF-8, copied. Out: into the caller's buffer, as snprintf does: what does not
 *            fit is cut, always with a NUL, and the full length is returned; a NULL buffer asks for it. Of
 *            SQL, which is of no use when cut, nothing is written then but the NUL.
 *   Structs  Those that may grow begin with `struct_size`, which the caller sets to sizeof: begin with the
 *            ..._INIT macro. Fields that a newer library knows beyond that are not touched.
 *   Enums    Are as wide as int. Numbers are explicit and mean the same for ever. A newer library may return
 *            numbers that this header does not name.
 *   Units    They are in the names: _ms, _us, _ns. Times of ..._ns are on the clock of elector_now_ns().
 *   Waiting  Only elector_wait, elector_wait_any, elector_connect and elector_release with a timeout wait,
 *            and elector_free for a callback that is running. The rest returns at once and does no I/O;
 *            threads of the library do it. They take no signals.
 *   fork     An elector is dead in a forked child: never leader, and every call that has a status says
 *            FORKED. Make new ones there, or exec. A lease machine is copied by a fork, as all memory is: use
 *            it in one of the two processes only, or both will think that they lead.
 *   close    Close no descriptor that you did not open (closefrom, close_range, daemon code): make electors
 *            after that. On SQLite leadership ends at once (REVOKED), the lease stays held until it has run
 *            out, and the elector stands again; on PostgreSQL the process may be aborted.
 *   Faults   No call ends the process, unless no memory is left. A panic, which is a bug, becomes PANIC.
 *
 * THE SHORTEST PROGRAM
 *   struct elector_error error;
 *   struct elector *elector = NULL;
 *   struct elector_options *options = elector_options_new();
 *   if (elector_options_set_election(options, "nightly", &error) || elector_new(options, &elector, &error)
 *       || elector_campaign(elector, &error))
 *       fprintf(stderr, "%s\n", error.message);
 *   elector_options_free(options);
 *   ...
 *   if (elector_am_i_leader(elector))
 *       the_work_that_only_one_may_do(elector_token(elector));
 *   ...
 *   elector_release(elector, 5000, &error);
 *   elector_free(elector);
 */

#ifndef ELECTOR_H
#define ELECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define ELECTOR_VERSION_MAJOR 0
#define ELECTOR_VERSION_MINOR 1
#define ELECTOR_VERSION_PATCH 0
#define ELECTOR_VERSION "0.1.0"

// A timeout that never ends.
#define ELECTOR_WAIT_FOREVER UINT32_MAX

// How each struct that may grow begins: its size, and zeros.
#define ELECTOR_LEADERSHIP_INIT { sizeof(struct elector_leadership), ELECTOR_REASON_NONE, 0, 0, 0, false, 0 }
#define ELECTOR_CHANGE_INIT \
    { sizeof(struct elector_change), ELECTOR_EVENT_NONE, 0, 0, 0, ELECTOR_REASON_NONE, { 0 } }
#define ELECTOR_INPUT_INIT \
    { sizeof(struct elector_input), 0, 0, 0, false, false, 0, 0, 0, 0, NULL, NULL, 0, 0, 0, 0 }
#define ELECTOR_OUTPUT_INIT \
    { sizeof(struct elector_output), ELECTOR_OUTPUT_KIND_WAIT, 0, 0, 0, 0, ELECTOR_OP_NONE, \
      ELECTOR_UNCHANGED_ANY, 0, 0, NULL, NULL, 0, 0, ELECTOR_EVENT_NONE, ELECTOR_REASON_NONE, \
      NULL, NULL, 0 }

// The version of this header's binary interface. A library serves a program if `elector_abi_version()`
// equals the `ELECTOR_ABI_VERSION` that the program was compiled with.
#define ELECTOR_ABI_VERSION 1

// What a call came to. A number means the same for ever.
typedef enum elector_status {
    // Done.
    ELECTOR_STATUS_OK = 0,
    // A pointer that must not be NULL was NULL.
    ELECTOR_STATUS_NULL_POINTER = 1,
    // A string is not UTF-8.
    ELECTOR_STATUS_INVALID_UTF8 = 2,
    // A name, a number, a store URL or an enumerated value that can never work.
    ELECTOR_STATUS_INVALID_ARGUMENT = 3,
    // The timings do not fit together; the message names the numbers.
    ELECTOR_STATUS_INVALID_TIMING = 4,
    // A `struct_size` that no version of this header has: set it to `sizeof` the struct.
    ELECTOR_STATUS_INVALID_STRUCT_SIZE = 5,
    // What was waited for did not come in time.
    ELECTOR_STATUS_TIMEOUT = 6,
    // The store could not be used; it may be so later.
    ELECTOR_STATUS_STORE_FAILED = 7,
    // The store refused, and will again until somebody changes something.
    ELECTOR_STATUS_STORE_REFUSED = 8,
    // The handle was made before a `fork`, and this is the child: make a new one here.
    ELECTOR_STATUS_FORKED = 9,
    // A call that waits was made from a callback, where it would hold up all others.
    ELECTOR_STATUS_IN_CALLBACK = 10,
    // The change is no longer, or not yet, known: ask for a later, or an earlier, one.
    ELECTOR_STATUS_UNKNOWN_CHANGE = 11,
    // The system gave no thread.
    ELECTOR_STATUS_NO_THREAD = 12,
    // A bug in this library, which the message quotes. The elector is never leader again; make a new one.
    ELECTOR_STATUS_PANIC = 13,
    // `elector_wake` was called while this call waited.
    ELECTOR_STATUS_WOKEN = 14,
    // The system gave no random number, by which candidates are told apart.
    ELECTOR_STATUS_NO_RANDOM = 15,
} elector_status;

// What happened to a candidate.
typedef enum elector_event {
    // Nothing.
    ELECTOR_EVENT_NONE = 0,
    // A term begins.
    ELECTOR_EVENT_ELECTED = 1,
    // The term was extended.
    ELECTOR_EVENT_RENEWED = 2,
    // A renewal failed, or was withheld. The term goes on.
    ELECTOR_EVENT_AT_RISK = 3,
    // Start no new work: the term may end soon. A later RENEWED lifts it, unless draining. While draining it
    // is told again at the soft deadline: end the work in progress.
    ELECTOR_EVENT_STOP_NEW_WORK = 4,
    // The term is over; said exactly once for each ELECTED.
    ELECTOR_EVENT_DEPOSED = 5,
    // The leader changed: it is this candidate (after ELECTED), another candidate, or none.
    ELECTOR_EVENT_LEADER_CHANGED = 6,
    // The store's clock jumped. This candidate waits one full lease before it takes over an older lease.
    ELECTOR_EVENT_STORE_CLOCK_STEPPED = 7,
    // A standby of the store was promoted; handled like a stepped clock.
    ELECTOR_EVENT_TIMELINE_CHANGED = 8,
    // The row expires further ahead than its lease could have set it: `elector break` clears it.
    ELECTOR_EVENT_POISONED_ROW = 9,
} elector_event;

// Why a term ended.
typedef enum elector_reason {
    // No term has ended.
    ELECTOR_REASON_NONE = 0,
    // This program released it.
    ELECTOR_REASON_RELEASED = 1,
    // No renewal succeeded before trust ended.
    ELECTOR_REASON_EXPIRED = 2,
    // The store says that the lease is somebody else's or nobody's: taken over, revoked or deleted.
    ELECTOR_REASON_LOST = 3,
    // The progress gate, or the bound of a drain, withheld renewals until trust ended.
    ELECTOR_REASON_STALLED = 4,
    // The lease protects nothing any more: its file was lost, or its store's descriptors were closed.
    ELECTOR_REASON_REVOKED = 5,
    // The handle was made before a `fork`, and this is the child.
    ELECTOR_REASON_FORKED = 6,
} elector_reason;

// What a machine says.
typedef enum elector_output_kind {
    // Nothing more to do before `wait_earliest_ns`; give a TIMEOUT by `wait_latest_ns`.
    ELECTOR_OUTPUT_KIND_WAIT = 1,
    // Send the request to the store.
    ELECTOR_OUTPUT_KIND_SEND = 2,
    // Something happened.
    ELECTOR_OUTPUT_KIND_EVENT = 3,
} elector_output_kind;

// What a request asks of the store.
typedef enum elector_op {
    // Nothing: this is no request.
    ELECTOR_OP_NONE = 0,
    // Read the row.
    ELECTOR_OP_LOOK = 1,
    // Take the row if it is absent or has expired by the store's clock; else only read it.
    ELECTOR_OP_ACQUIRE = 2,
    // Extend the lease if the row still names this holder and token and has not expired.
    ELECTOR_OP_RENEW = 3,
    // End the lease if the row still names this holder and token.
    ELECTOR_OP_RELEASE = 4,
} elector_op;

// What an acquire demands beside.
typedef enum elector_unchanged {
    // Nothing.
    ELECTOR_UNCHANGED_ANY = 0,
    // That there is no row.
    ELECTOR_UNCHANGED_ABSENT = 1,
    // That the row still has `unchanged_token` and `unchanged_expires_us`.
    ELECTOR_UNCHANGED_SAME = 2,
} elector_unchanged;

// How much a line of the log matters.
typedef enum elector_log_level {
    // Somebody must act.
    ELECTOR_LOG_LEVEL_ERROR = 1,
    // Something failed, and is tried again.
    ELECTOR_LOG_LEVEL_WARN = 2,
    // A term began or ended.
    ELECTOR_LOG_LEVEL_INFO = 3,
    // For whoever looks for a fault.
    ELECTOR_LOG_LEVEL_DEBUG = 4,
} elector_log_level;

// A database's kind of SQL.
typedef enum elector_dialect {
    // PostgreSQL 13 or newer.
    ELECTOR_DIALECT_POSTGRES = 1,
    // SQLite 3.37 or newer.
    ELECTOR_DIALECT_SQLITE = 2,
} elector_dialect;

// A statement of a store, for a table as CREATE_TABLE makes it. (The ids in a table that
// `nest-leader-election` made are integers; only `elector_new` serves that.)
//
// PostgreSQL: the parameters of LOOK, ACQUIRE, RENEW and RELEASE are arrays with an element for each
// election, if not said otherwise. There is a row for each element, in any order: `ord` says which one, from
// 1; `now_us` and `timeline` are the store's clock. A row of the table is in `leader_id, token, lease_ms,
// meta, expires_us, remaining_us`, null where there is none.
//
// SQLite: the parameters are single values. "Boot" is a time in microseconds on a clock that starts with the
// machine, "wall" one since 1970, "boot id" any text that names this start of the machine. Decide by boot in
// a row of this boot, by wall in others.
typedef enum elector_statement {
    // Makes the table. PostgreSQL: several statements, to be run in one transaction by its owner.
    ELECTOR_STATEMENT_CREATE_TABLE = 1,
    // Reads rows: $1 text elections; a row of the table. SQLite, one row: ?1 election, ?2 boot id; columns
    // holder, token, expiry boot, expiry wall, lease ms, whether it is of this boot, lock, meta, begin wall,
    // election.
    ELECTOR_STATEMENT_LOOK = 2,
    // Takes rows that are absent or have expired: $1 text elections, $2 text holders, $3 text metas, $4
    // bigint leases in ms, $5 text `any`, `absent`, or `same` with $6 bigint token and $7 bigint expiry in
    // us; a row of the table as it was, and `granted`, the new token or null. SQLite: takes a row that may
    // be taken; look before, in the same `BEGIN IMMEDIATE` transaction. ?1 election, ?2 holder, ?3 token:
    // the larger of the row's + 1 and now wall; ?4 expiry boot, ?5 expiry wall, ?6 now wall, ?7 lease ms,
    // ?8 boot id, ?9 null, ?10 meta.
    ELECTOR_STATEMENT_ACQUIRE = 3,
    // Extends leases: $1 text elections, $2 text holders, $3 bigint tokens, $4 bigint leases in ms;
    // `renewed`, and `busy`: somebody else has locked the row, try again. Neither: lost. SQLite: ?1
    // election, ?2 holder, ?3 token, ?4 expiry boot, ?5 expiry wall, ?6 lease ms, ?7 boot id, ?8 now boot,
    // ?9 now wall; one row is changed, or none if it is lost.
    ELECTOR_STATEMENT_RENEW = 4,
    // Ends leases, and notifies: $1 text elections, $2 text holders, $3 bigint tokens, $4 one text, the
    // schema; `busy`. SQLite: ?1 election, ?2 holder, ?3 token, ?4 now boot, ?5 now wall, ?6 boot id.
    ELECTOR_STATEMENT_RELEASE = 5,
    // Deletes rows that have been dead for a minute. PostgreSQL only: two statements, to be sent as one text
    // without parameters; `deleted`.
    ELECTOR_STATEMENT_CLEAN_UP = 6,
    // Checks a term and holds its row in the caller's transaction. PostgreSQL only: $1 text election, $2
    // text holder, $3 bigint token, single values; one row while the term lasts, else none or an error. What
    // is said of `elector_guard_sql` holds for it.
    ELECTOR_STATEMENT_GUARD = 7,
} elector_statement;

// What to tell a machine.
typedef enum elector_input_kind {
    // The host wants to lead.
    ELECTOR_INPUT_KIND_CAMPAIGN = 1,
    // The host gives up at once.
    ELECTOR_INPUT_KIND_RELEASE = 2,
    // The host gives up once its work in progress is done.
    ELECTOR_INPUT_KIND_DRAIN = 3,
    // The work in progress of a draining host is done.
    ELECTOR_INPUT_KIND_DRAINED = 4,
    // The host makes progress.
    ELECTOR_INPUT_KIND_ALIVE = 5,
    // Time passed. May come early, late or twice.
    ELECTOR_INPUT_KIND_TIMEOUT = 6,
    // The store answered, or the host knows that it will not: `request_id` and what follows it are set.
    ELECTOR_INPUT_KIND_REPLY = 7,
    // The election may have become free.
    ELECTOR_INPUT_KIND_HINT = 8,
    // The lease protects nothing any more.
    ELECTOR_INPUT_KIND_REVOKED = 9,
    // DRAIN, renewed for `drain_ms` at most: what is left of the lease then ends by itself.
    ELECTOR_INPUT_KIND_DRAIN_FOR = 10,
} elector_input_kind;

// What became of a request.
typedef enum elector_outcome {
    // Look, or acquire that did not take the row: `has_row` and `row_…` say how it stands.
    ELECTOR_OUTCOME_SEEN = 1,
    // Acquire: taken, under `token`.
    ELECTOR_OUTCOME_GRANTED = 2,
    // Renew: extended.
    ELECTOR_OUTCOME_RENEWED = 3,
    // Renew: the row is not this holder's any more, and never will be again under this token.
    ELECTOR_OUTCOME_LOST = 4,
    // Release: the row is not this holder's any more.
    ELECTOR_OUTCOME_RELEASED = 5,
    // No answer: certainly not executed.
    ELECTOR_OUTCOME_UNSENT = 6,
    // No answer: perhaps executed, now or later.
    ELECTOR_OUTCOME_UNKNOWN = 7,
    // The store refused for a reason that will not go away by itself.
    ELECTOR_OUTCOME_REFUSED = 8,
} elector_outcome;

// One candidate of one election. Any thread may use it, any number at once.
typedef struct elector elector;

// A lease machine: one candidate of one election as a value. One thread at a time.
//
// Give it an input, then poll until it says WAIT. Time only grows: an earlier `now_ns` counts as the latest
// seen. Its clock must also count the time for which the machine was suspended; its origin is yours.
//
// A fork copies it, and then two processes have one candidate: go on with it in one of them only.
typedef struct elector_lease elector_lease;

// Options under construction. One thread at a time. Whatever is not set has a default.
typedef struct elector_options elector_options;

// What went wrong, for people. The caller owns it; it needs no preparation and never grows. A call that
// succeeds empties it.
typedef struct elector_error {
    // What the call returned.
    enum elector_status status;
    // One line that says what was asked, what was found and what to do; NUL-terminated, UTF-8, cut if it is
    // longer. It never holds a password.
    char message[1020];
} elector_error;

// One change of one elector. Begin with ELECTOR_CHANGE_INIT.
typedef struct elector_change {
    // In: sizeof this struct.
    uint32_t struct_size;
    // What happened.
    enum elector_event event;
    // The change's number: an elector's changes are numbered from 1 on, without gaps.
    uint64_t revision;
    // When, in milliseconds since 1970 on this machine's wall clock. For people.
    uint64_t at_unix_ms;
    // The fencing token of the term that it is about; 0 if it is about none.
    uint64_t token;
    // With DEPOSED: why.
    enum elector_reason reason;
    // With LEADER_CHANGED: the name of the candidate that leads now, or "" if nobody does. NUL-terminated.
    char leader[256];
} elector_change;

// Is told of each change of one elector: see `elector_options_on_change`. `change` lives during the call.
typedef void (*elector_change_callback)(void *user_data,
                                        const struct elector_change *change);

// Is told a line for the log: see `elector_options_on_log`. `level` is one of `enum elector_log_level`;
// `message` lives during the call.
typedef void (*elector_log_callback)(void *user_data,
                                     int32_t level,
                                     const char *message);

// One consistent answer to "do I lead?". Begin with ELECTOR_LEADERSHIP_INIT.
typedef struct elector_leadership {
    // In: sizeof this struct.
    uint32_t struct_size;
    // Why the latest term ended.
    enum elector_reason reason;
    // The number of the latest change; 0 before the first one.
    uint64_t revision;
    // The fencing token of the term while it is trusted, draining included; else 0.
    uint64_t token;
    // The time in milliseconds from this answer until the hard deadline, when trust in the term ends;
    // rounded down; 0 without a term. A renewal extends it. Everything that only the leader may do must have
    // ended by then: another candidate can lead from that instant on.
    uint64_t trusted_for_ms;
    // Whether this candidate leads.
    bool is_leader;
    // The time in milliseconds from this answer until the soft deadline, a tenth of the lease before the
    // hard one; rounded down; 0 without a term and past that deadline. A renewal extends it. Start nothing
    // new by then. A draining candidate starts nothing new at all: for it this is how long the work in
    // progress may still run.
    uint64_t work_for_ms;
} elector_leadership;

// What may be read of an elector without a call. Read it with `elector_am_i_leader_inline`, or with atomic
// loads in the same order; never write it.
typedef struct elector_view {
    // Until when this candidate leads, on the clock of `elector_now_ns`; 0: it does not. Atomic.
    uint64_t trusted_until_ns;
    // The term's fencing token; means something only while the term is trusted. Atomic.
    uint64_t token;
    // The number of the latest change. Atomic.
    uint64_t revision;
    // Counts the forks that led to this process. Atomic.
    const uint32_t *forks;
    // The same when the elector was made: another number means that this is a forked child.
    uint32_t forks_then;
} elector_view;

// One input. Begin with ELECTOR_INPUT_INIT and set what its kind needs.
typedef struct elector_input {
    // sizeof this struct.
    uint32_t struct_size;
    // One of `enum elector_input_kind`.
    int32_t kind;
    // Reply: the request's id.
    uint64_t request_id;
    // Reply: one of `enum elector_outcome`.
    int32_t outcome;
    // Reply: whether the store told its clock.
    bool has_clock;
    // Reply: whether there is a row (SEEN).
    bool has_row;
    // The store's clock when it executed the request, in microseconds.
    int64_t store_now_us;
    // Which history the store is on: another number after a standby was promoted.
    uint64_t timeline;
    // Granted: the new term's token.
    uint64_t token;
    // The row's token; 0 in a row that another program wrote.
    uint64_t row_token;
    // The row's holder; NULL or "" in a row that was released. Read during the call only.
    const char *row_holder;
    // The row's meta text, or NULL. Read during the call only.
    const char *row_meta;
    // The row's expiry on the store's clock, in microseconds.
    int64_t row_expires_us;
    // What is left of the row's lease, computed by the store; 0 if it may be taken.
    uint64_t row_remaining_us;
    // The row's whole lease, or 0 if the store does not know it.
    uint64_t row_lease_ms;
    // DRAIN_FOR: for how long the lease is still renewed.
    uint64_t drain_ms;
} elector_input;

// One output. Begin with ELECTOR_OUTPUT_INIT.
typedef struct elector_output {
    // In: sizeof this struct.
    uint32_t struct_size;
    // What this is, and so which of the rest means something.
    enum elector_output_kind kind;
    // Wait: before this a timeout does nothing.
    uint64_t wait_earliest_ns;
    // Wait: the timeout is due; UINT64_MAX: never.
    uint64_t wait_latest_ns;
    // Send: to be repeated in the reply.
    uint64_t request_id;
    // Send: after this the machine goes on without the answer.
    uint64_t request_deadline_ns;
    // Send: what to do.
    enum elector_op op;
    // Send, acquire: what the row must be like.
    enum elector_unchanged unchanged;
    // Renew and release: the term. Event: the term that it is about, or 0.
    uint64_t token;
    // Acquire and renew: how long the lease lasts, counted by the store.
    uint64_t lease_ms;
    // Acquire, renew and release: who asks. Lives as long as the machine.
    const char *holder;
    // Acquire: the holder's meta text, or NULL. Lives as long as the machine.
    const char *meta;
    // Acquire that demands SAME: the row's token; 0 for none.
    uint64_t unchanged_token;
    // Acquire that demands SAME: the row's expiry.
    int64_t unchanged_expires_us;
    // Event: what happened.
    enum elector_event event;
    // Event DEPOSED: why.
    enum elector_reason reason;
    // Event LEADER_CHANGED: who leads now, or NULL. Lives until the next call with this machine.
    const char *leader;
    // Event LEADER_CHANGED: the leader's meta text, or NULL. Lives as long as `leader`.
    const char *leader_meta;
    // Event STORE_CLOCK_STEPPED: by so many microseconds, forward if positive. Event POISONED_ROW: it
    // expires in so many.
    int64_t by_us;
} elector_output;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The ABI version of the library that is loaded. Any thread; always works.
uint32_t elector_abi_version(void);

// The library's version, "MAJOR.MINOR.PATCH". Any thread; the string lives for ever.
const char *elector_version(void);

// The name of a status in this header without its prefix ("TIMEOUT"), or "UNKNOWN" for a number that this
// version does not know. Any thread; the string lives for ever.
const char *elector_status_name(int32_t status);

// New options, to be freed with `elector_options_free`. Any thread.
struct elector_options *elector_options_new(void);

// Frees options; NULL is fine. Electors that were made from them stay as they are.
void elector_options_free(struct elector_options *options);

// Sets where leases are kept: "postgres://USER@HOST/DATABASE", "sqlite:PATH" or "memory:NAME".
// Default: the environment variable ELECTOR_STORE, else an SQLite file in the user's state directory.
// INVALID_ARGUMENT: it is no URL of a store that this build has.
enum elector_status elector_options_set_store(struct elector_options *options,
                                              const char *url,
                                              struct elector_error *error_out);

// Sets the election's name, 1 to 255 bytes. Required.
enum elector_status elector_options_set_election(struct elector_options *options,
                                                 const char *name,
                                                 struct elector_error *error_out);

// Sets this candidate's name, 1 to 255 bytes. Default: host name and process id, "api-1-4711". Two
// candidates may share a name; they are still told apart.
enum elector_status elector_options_set_candidate(struct elector_options *options,
                                                  const char *name,
                                                  struct elector_error *error_out);

// Sets a text for others to read while this candidate leads: an address, a version. At most 65536 bytes.
// Default: none.
enum elector_status elector_options_set_meta(struct elector_options *options,
                                             const char *text,
                                             struct elector_error *error_out);

// Sets the schema of the table in PostgreSQL, any identifier of 1 to 63 bytes; it is always quoted.
// Default: what the store URL says, else "public". Other stores refuse it in `elector_new`.
enum elector_status elector_options_set_schema(struct elector_options *options,
                                               const char *schema,
                                               struct elector_error *error_out);

// Sets whether a table that is missing in PostgreSQL is made. Default: what the store URL says, else true.
// Other stores make their tables always.
enum elector_status elector_options_set_create_table(struct elector_options *options,
                                                     bool create_table,
                                                     struct elector_error *error_out);

// Sets how long a grant or a renewal lasts, 100 to 86400000 ms; 0: the default, 10000. It bounds how long
// a crashed leader blocks the next one. Whether all timings fit is checked when an elector is made.
enum elector_status elector_options_set_lease_ms(struct elector_options *options,
                                                 uint64_t lease_ms,
                                                 struct elector_error *error_out);

// Sets the latest time from one renewal to the next, at least 10 ms; 0: the default, 30 % of the lease.
enum elector_status elector_options_set_renew_ms(struct elector_options *options,
                                                 uint64_t renew_ms,
                                                 struct elector_error *error_out);

// Sets how much earlier than that a renewal may be sent, drawn anew each time; 0: the default, 20 % of the
// lease, at most two thirds of the renewal time.
enum elector_status elector_options_set_jitter_ms(struct elector_options *options,
                                                  uint64_t jitter_ms,
                                                  struct elector_error *error_out);

// Sets how much earlier than it must a leader stops trusting its lease; 0: the default, the larger of 250 ms
// and a fifteenth of the lease.
enum elector_status elector_options_set_margin_ms(struct elector_options *options,
                                                  uint64_t margin_ms,
                                                  struct elector_error *error_out);

// Sets whether to take over only what stood unchanged for a full lease of this candidate's own clock.
// Default: false. It protects against forward steps of the store's clock before this candidate first read it
// and against commits lost by a promoted standby, and costs one lease of waiting at every change of leader.
enum elector_status elector_options_set_strict(struct elector_options *options,
                                               bool strict,
                                               struct elector_error *error_out);

// Sets whether to campaign and renew only while `elector_alive` is called at least every half lease, so that
// a program that hangs does not lead for ever. Default: false.
enum elector_status elector_options_set_progress_gate(struct elector_options *options,
                                                      bool progress_gate,
                                                      struct elector_error *error_out);

// Has `function` called for each change of every elector that is made from these options, in order, on a
// thread of this library, one call at a time. NULL: not any more. A renewal is a change only if it follows
// an AT_RISK or STOP_NEW_WORK.
//
// It may call any function that does not wait, `elector_free` too; those that wait return IN_CALLBACK. It
// must return: no exception, `longjmp` or `pthread_exit` may leave it. Signals are blocked in it, and so in
// programs that it starts, unless they or you unblock them. A child that it forks is no callback any more.
//
// A callback that takes long, of the log too, delays the callbacks of all electors. A term whose ELECTED has
// waited half a lease for the callback thread is no longer renewed, and ends as STALLED. Once ELECTED is
// told, its term goes on however long the callback takes. Once `elector_free` has returned it is not called
// again. Callbacks are never needed: `elector_wait` does all they do.
enum elector_status elector_options_on_change(struct elector_options *options,
                                              elector_change_callback function,
                                              void *user_data,
                                              struct elector_error *error_out);

// Has `function` called for each line that this library logs while an elector made from these options lives,
// whichever elector or store of the process it is about. The same function with the same `user_data` hears
// each line once, however many electors have it. Threads and order as with `elector_options_on_change`.
enum elector_status elector_options_on_log(struct elector_options *options,
                                           elector_log_callback function,
                                           void *user_data,
                                           struct elector_error *error_out);

// Makes an elector, to be freed with `elector_free`. Checks everything and does no I/O: the store is opened
// by the first campaign, which also tries again for ever. Electors of one store share one connection and a
// few threads, in which all signals are blocked. `*elector_out` is NULL unless it returns OK.
//
// INVALID_ARGUMENT, INVALID_TIMING: something in the options is wrong. NO_THREAD, NO_RANDOM: the system gave
// none.
enum elector_status elector_new(const struct elector_options *options,
                                struct elector **elector_out,
                                struct elector_error *error_out);

// Stands for election until `elector_release`. After a loss it stands again by itself. Standing already: OK,
// no effect. Returns at once.
enum elector_status elector_campaign(const struct elector *elector,
                                     struct elector_error *error_out);

// Opens the store if it is not open yet, and says what came of it. Not needed: a campaign does so too, and
// tries again for ever. Good for telling a wrong path or password at start-up. Not from a callback
// (IN_CALLBACK).
//
// STORE_FAILED, STORE_REFUSED: what the store said. STORE_REFUSED too if it cannot keep the names or the
// meta text of this elector. TIMEOUT: it said nothing within `timeout_ms`.
enum elector_status elector_connect(const struct elector *elector,
                                    uint32_t timeout_ms,
                                    struct elector_error *error_out);

// Stands down: not leader from the call on, and no candidate until the next `elector_campaign`. Again: OK,
// no effect.
//
// Then it waits up to `timeout_ms` for the store to confirm, so that the next candidate leads at once; 0:
// it does not wait, and returns OK. TIMEOUT: not confirmed in time; the lease ends by itself all the same.
// With a timeout it may not be called from a callback (IN_CALLBACK; it has stood down nevertheless).
enum elector_status elector_release(const struct elector *elector,
                                    uint32_t timeout_ms,
                                    struct elector_error *error_out);

// Stands down once the work in progress is done: not leader from the call on, but the lease is kept, so that
// nobody else starts, until `elector_drained` or until it can be kept no longer. Not leader: as
// `elector_release` with a timeout of 0.
enum elector_status elector_drain(const struct elector *elector,
                                  struct elector_error *error_out);

// `elector_drain`, and the lease is renewed for `drain_ms` more at most (ELECTOR_WAIT_FOREVER: without
// a bound). Work that takes longer keeps what is left of the lease then; STOP_NEW_WORK says once more when
// it must end, and others are elected when the lease has ended by itself. Of several bounds the earliest
// counts. For a program that is asked to end while work may hang.
enum elector_status elector_drain_for(const struct elector *elector,
                                      uint32_t drain_ms,
                                      struct elector_error *error_out);

// Says that the work in progress is done: ends what `elector_drain` or `elector_drain_for` began. Not
// draining: OK, no effect.
enum elector_status elector_drained(const struct elector *elector,
                                    struct elector_error *error_out);

// Says that this program makes progress: see `elector_options_set_progress_gate`.
enum elector_status elector_alive(const struct elector *elector,
                                  struct elector_error *error_out);

// Frees an elector; NULL is fine. Prompt, does no I/O, and **DOES NOT RELEASE**: a lease that it holds
// ends by itself; call `elector_release` before to hand over at once. A release that the store has not
// confirmed yet is still told to it, by threads of the library. No other thread may be in a call with this
// elector, nor use it or its view afterwards. It waits for a callback of this elector that is running,
// unless it is called from one.
void elector_free(struct elector *elector);

// Whether this candidate leads at this instant. Costs an atomic load and a clock read; no lock, no I/O.
//
// False for NULL and in a forked child. What starts because of a `true` must end before trust does: see
// `trusted_for_ms`.
bool elector_am_i_leader(const struct elector *elector);

// The fencing token of the current term, or 0 if this candidate does not lead. Give it to whatever the work
// writes to, which refuses a smaller one than it has seen.
uint64_t elector_token(const struct elector *elector);

// Fills in one consistent answer. FORKED, and filled in, in a forked child.
enum elector_status elector_get_leadership(const struct elector *elector,
                                           struct elector_leadership *leadership_out,
                                           struct elector_error *error_out);

// Waits until the latest change has another number than `seen_revision`, which may be so already, and
// fills in the leadership as it is then. Start with `seen_revision` 0, go on with the `revision` that was
// filled in.
//
// `timeout_ms`: ELECTOR_WAIT_FOREVER waits without an end, 0 does not wait. TIMEOUT: nothing changed;
// WOKEN: nothing changed, and `elector_wake` was called meanwhile; it is filled in all the same.
// `leadership_out` may be NULL. Not from a callback (IN_CALLBACK).
enum elector_status elector_wait(const struct elector *elector,
                                 uint64_t seen_revision,
                                 uint32_t timeout_ms,
                                 struct elector_leadership *leadership_out);

// Waits until anything of any elector of this process has changed: until the count of all changes is another
// than `seen_count`. Returns the count; the same one when `timeout_ms` was over, and at once in a callback.
// For a program that serves many electors with one thread; which one changed is seen in their views.
uint64_t elector_wait_any(uint64_t seen_count,
                          uint32_t timeout_ms);

// Ends every `elector_wait` and `elector_wait_any` of this process. Each `elector_wait` that has begun
// returns WOKEN; one that begins later waits, so set your flag first, and call it again until the thread has
// reacted. Each `elector_wait_any` returns as if something had changed, at once also one that begins later
// and has not seen this. For a program that ends a thread which waits. Any thread, but no signal handler.
void elector_wake(void);

// Fills in the change with this number. The latest 1000 are known. UNKNOWN_CHANGE: it is older, or has not
// happened.
enum elector_status elector_get_change(const struct elector *elector,
                                       uint64_t revision,
                                       struct elector_change *change_out,
                                       struct elector_error *error_out);

// Writes who leads, as far as this candidate knows while it stands, as two strings one behind the other: the
// leader's name, and from `buffer + strlen(buffer) + 1` on its meta text (empty if it has none).
//
// Returns how long both are, with the NUL between them and without the last one; 0 if nobody is known to
// lead. What does not fit is cut; `buffer` may be NULL if `capacity` is 0.
size_t elector_leader(const struct elector *elector,
                      char *buffer,
                      size_t capacity);

// Writes the guard: a statement for PostgreSQL with this term's values in it, safely quoted. Run it first
// in your own transaction: one row means that the term lasts, and nobody else is elected before that
// transaction ends; no row, or an error, means that the term may be over, so roll back.
//
// Any isolation level will do; above READ COMMITTED there is no row either if the table was rewritten
// (VACUUM FULL, CLUSTER) since the transaction's first statement. Rolling back to a savepoint also ends a
// guard that was run after it, and so does the EXCEPTION clause of a PL/pgSQL block around the guard: run it
// outside of them, or again afterwards.
//
// Returns the statement's length without its NUL, and writes "" if it does not fit: a statement that is cut
// is none. 0 if this candidate has no term (while it drains it has one) or its store is not PostgreSQL.
size_t elector_guard_sql(const struct elector *elector,
                         char *buffer,
                         size_t capacity);

// Writes what the store complains about, one line, or "" if its latest operation worked; while writes fail,
// reading a free row does not clear it. It never holds a password. Returns its length without its NUL; what
// does not fit is cut.
size_t elector_last_error(const struct elector *elector,
                          char *buffer,
                          size_t capacity);

// The view of an elector, for `elector_am_i_leader_inline`. Lives until `elector_free`. NULL for NULL.
const struct elector_view *elector_get_view(const struct elector *elector);

// Now, in nanoseconds on the clock that leases are trusted by: one that also counts the time for which the
// machine was suspended (Linux: CLOCK_BOOTTIME). Any thread.
uint64_t elector_now_ns(void);

// Makes a machine that stands by, to be freed with `elector_lease_free`. It needs the options `election` and
// `candidate`, and ignores those about stores and callbacks.
//
// `incarnation`: a random number, another one for each machine ever made: a lease is recognised as one's own
// only by it. `seed`: seeds the jitter.
enum elector_status elector_lease_new(const struct elector_options *options,
                                      uint64_t incarnation,
                                      uint64_t seed,
                                      uint64_t now_ns,
                                      struct elector_lease **lease_out,
                                      struct elector_error *error_out);

// Frees a machine; NULL is fine. What it holds in the store ends by itself.
void elector_lease_free(struct elector_lease *lease);

// Tells the machine what happened at `now_ns`. Afterwards poll. INVALID_ARGUMENT: the input makes no sense,
// and the machine was told nothing.
enum elector_status elector_lease_input(struct elector_lease *lease,
                                        uint64_t now_ns,
                                        const struct elector_input *input,
                                        struct elector_error *error_out);

// Fills in the next thing to do. Poll until it says WAIT.
enum elector_status elector_lease_poll(struct elector_lease *lease,
                                       struct elector_output *output_out,
                                       struct elector_error *error_out);

// Fills in whether this candidate leads at `now_ns`: false from the instant on at which trust ends,
// whether or not a TIMEOUT was given. `revision` counts the events that were polled.
enum elector_status elector_lease_leadership(const struct elector_lease *lease,
                                             uint64_t now_ns,
                                             struct elector_leadership *leadership_out,
                                             struct elector_error *error_out);

// Writes a statement of a store. `statement` is one of `enum elector_statement`, `dialect` one of
// `enum elector_dialect`; `schema` is that of the table in PostgreSQL, NULL for "public".
//
// Returns its length without its NUL, and writes "" if it does not fit: a statement that is cut is none. 0:
// there is no such statement, or the schema is not UTF-8. Any thread.
size_t elector_sql(int32_t statement,
                   int32_t dialect,
                   const char *schema,
                   char *buffer,
                   size_t capacity);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

// A compiler that makes enums smaller than int (-fshort-enums) would not understand this library.
typedef char elector_enums_are_as_wide_as_int[sizeof(enum elector_status) == sizeof(int) ? 1 : -1];

#if defined(__GNUC__) || defined(__clang__)
// elector_am_i_leader without a call into the library, for hot paths: an atomic load and a clock read.
// `view` is what elector_get_view gave; NULL gives false. Right in a forked child, too.
//
// Where <time.h> declares CLOCK_BOOTTIME (define _GNU_SOURCE before including anything), the clock is read
// here; else elector_now_ns reads it.
static inline bool elector_am_i_leader_inline(const struct elector_view *view)
{
    uint64_t trusted_until, now;
    if (view == NULL)
        return false;
    /* The load comes first: a clock read before it could be older than the end of a term that it shows. */
    trusted_until = __atomic_load_n(&view->trusted_until_ns, __ATOMIC_ACQUIRE);
    if (trusted_until == 0 || __atomic_load_n(view->forks, __ATOMIC_RELAXED) != view->forks_then)
        return false;
#if defined(__linux__) && defined(CLOCK_BOOTTIME)
    {
        struct timespec time;
        if (clock_gettime(CLOCK_BOOTTIME, &time) != 0)
            return false;
        now = (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
    }
#else
    now = elector_now_ns();
#endif
    return now < trusted_until;
}
#endif

#endif  /* ELECTOR_H */
