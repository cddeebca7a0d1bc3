/* The header as each standard of C and C++ sees it. This file is compiled as all of them. */
#include <elector.h>
#include <elector.h>

#include <stddef.h>
#include <string.h>

#include "check.h"

#define ALWAYS(name, condition) typedef char name[(condition) ? 1 : -1]

/* Programs were compiled against these; a struct may only grow at its end. */
ALWAYS(size_of_error, sizeof(struct elector_error) == 1024);
ALWAYS(size_of_leadership, sizeof(struct elector_leadership) == 48);
ALWAYS(size_of_change, sizeof(struct elector_change) == 296);
ALWAYS(size_of_view, sizeof(struct elector_view) == 40 || sizeof(void *) != 8);
ALWAYS(size_of_input, sizeof(struct elector_input) == 104 || sizeof(void *) != 8);
ALWAYS(size_of_output, sizeof(struct elector_output) == 128 || sizeof(void *) != 8);

ALWAYS(error_message, offsetof(struct elector_error, message) == 4);
ALWAYS(leadership_reason, offsetof(struct elector_leadership, reason) == 4);
ALWAYS(leadership_revision, offsetof(struct elector_leadership, revision) == 8);
ALWAYS(leadership_token, offsetof(struct elector_leadership, token) == 16);
ALWAYS(leadership_trusted, offsetof(struct elector_leadership, trusted_for_ms) == 24);
ALWAYS(leadership_leader, offsetof(struct elector_leadership, is_leader) == 32);
ALWAYS(leadership_work, offsetof(struct elector_leadership, work_for_ms) == 40);
ALWAYS(change_event, offsetof(struct elector_change, event) == 4);
ALWAYS(change_revision, offsetof(struct elector_change, revision) == 8);
ALWAYS(change_at, offsetof(struct elector_change, at_unix_ms) == 16);
ALWAYS(change_token, offsetof(struct elector_change, token) == 24);
ALWAYS(change_reason, offsetof(struct elector_change, reason) == 32);
ALWAYS(change_leader, offsetof(struct elector_change, leader) == 36);
ALWAYS(view_trusted, offsetof(struct elector_view, trusted_until_ns) == 0);
ALWAYS(view_token, offsetof(struct elector_view, token) == 8);
ALWAYS(view_revision, offsetof(struct elector_view, revision) == 16);
ALWAYS(view_forks, offsetof(struct elector_view, forks) == 24);
ALWAYS(input_kind, offsetof(struct elector_input, kind) == 4);
ALWAYS(input_request, offsetof(struct elector_input, request_id) == 8);
ALWAYS(input_clock, offsetof(struct elector_input, store_now_us) == 24);
ALWAYS(input_holder, offsetof(struct elector_input, row_holder) == 56);
ALWAYS(input_lease, offsetof(struct elector_input, row_lease_ms) == 88 || sizeof(void *) != 8);
ALWAYS(input_drain, offsetof(struct elector_input, drain_ms) == 96 || sizeof(void *) != 8);
ALWAYS(output_kind, offsetof(struct elector_output, kind) == 4);
ALWAYS(output_request, offsetof(struct elector_output, request_id) == 24);
ALWAYS(output_op, offsetof(struct elector_output, op) == 40);
ALWAYS(output_holder, offsetof(struct elector_output, holder) == 64);
ALWAYS(output_by, offsetof(struct elector_output, by_us) == 120 || sizeof(void *) != 8);

/* The types with and without the keyword are the same. */
static bool have_one_type(elector *plain, struct elector *tagged, elector_lease *lease,
                          struct elector_lease *tagged_lease)
{
    elector_options *options = NULL;
    struct elector_options *tagged_options = options;
    elector_status status = ELECTOR_STATUS_OK;
    enum elector_status tagged_status = status;
    elector_error error;
    struct elector_error *tagged_error = &error;
    const elector_view *view = elector_get_view(plain);
    const struct elector_view *tagged_view = view;
    elector_change_callback on_change = NULL;
    elector_log_callback on_log = NULL;
    return plain == tagged && lease == tagged_lease && tagged_options == NULL && tagged_error == &error &&
           tagged_status == ELECTOR_STATUS_OK && tagged_view == view && on_change == NULL && on_log == NULL;
}

static void types_are_usable_with_and_without_the_struct_keyword(void)
{
    CHECK(have_one_type(NULL, NULL, NULL, NULL));
    CHECK(!elector_am_i_leader_inline(NULL));
}

static void the_initial_values_are_sizes_and_zeros(void)
{
    struct elector_leadership leadership = ELECTOR_LEADERSHIP_INIT;
    struct elector_change change = ELECTOR_CHANGE_INIT;
    struct elector_input input = ELECTOR_INPUT_INIT;
    struct elector_output output = ELECTOR_OUTPUT_INIT;
    CHECK(leadership.struct_size == sizeof leadership && leadership.token == 0 && !leadership.is_leader);
    CHECK(change.struct_size == sizeof change && change.revision == 0 && change.leader[0] == '\0');
    CHECK(input.struct_size == sizeof input && input.kind == 0 && input.row_holder == NULL);
    CHECK(output.struct_size == sizeof output && output.op == ELECTOR_OP_NONE && output.by_us == 0);
    CHECK(output.kind == ELECTOR_OUTPUT_KIND_WAIT && output.leader_meta == NULL);
}

static void the_library_is_the_one_that_the_header_describes(void)
{
    char version[32];
    CHECK(elector_abi_version() == ELECTOR_ABI_VERSION);
    CHECK(strcmp(elector_version(), ELECTOR_VERSION) == 0);
    snprintf(version, sizeof version, "%d.%d.%d", ELECTOR_VERSION_MAJOR, ELECTOR_VERSION_MINOR,
             ELECTOR_VERSION_PATCH);
    CHECK(strcmp(version, ELECTOR_VERSION) == 0);
}

static void every_status_has_its_name_and_number(void)
{
#define NAMED(name, number) \
    CHECK(ELECTOR_STATUS_##name == number && strcmp(elector_status_name(number), #name) == 0)
    NAMED(OK, 0);
    NAMED(NULL_POINTER, 1);
    NAMED(INVALID_UTF8, 2);
    NAMED(INVALID_ARGUMENT, 3);
    NAMED(INVALID_TIMING, 4);
    NAMED(INVALID_STRUCT_SIZE, 5);
    NAMED(TIMEOUT, 6);
    NAMED(STORE_FAILED, 7);
    NAMED(STORE_REFUSED, 8);
    NAMED(FORKED, 9);
    NAMED(IN_CALLBACK, 10);
    NAMED(UNKNOWN_CHANGE, 11);
    NAMED(NO_THREAD, 12);
    NAMED(PANIC, 13);
    NAMED(WOKEN, 14);
    NAMED(NO_RANDOM, 15);
    CHECK(strcmp(elector_status_name(16), "UNKNOWN") == 0);
    CHECK(strcmp(elector_status_name(-1), "UNKNOWN") == 0);
}

extern const struct test header_tests[];
const struct test header_tests[] = {
    TEST(types_are_usable_with_and_without_the_struct_keyword),
    TEST(the_initial_values_are_sizes_and_zeros),
    TEST(the_library_is_the_one_that_the_header_describes),
    TEST(every_status_has_its_name_and_number),
    END_OF_TESTS,
};
