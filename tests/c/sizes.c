/* Structs of programs that were compiled against other versions of the header: smaller, larger, garbage. */
#define _GNU_SOURCE
#include "check.h"

#define GUARD 0x5a

/* A struct of a newer header: as ours, and something behind it that must not be touched. */
#define NEWER(type) \
    union { \
        struct type ours; \
        unsigned char bytes[sizeof(struct type) + 16]; \
    }
#define FILL(newer) memset((newer).bytes, GUARD, sizeof(newer).bytes)

static bool end_is_untouched(const unsigned char *bytes, size_t size)
{
    size_t at;
    for (at = size; at < size + 16; at++)
        if (bytes[at] != GUARD)
            return false;
    return true;
}

static const uint32_t garbage[] = {0, 1, 4, 8};

static void a_smaller_struct_is_refused_and_left_alone(void)
{
    struct elector_error error;
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    struct elector_change change = ELECTOR_CHANGE_INIT;
    struct elector *elector = candidate("memory:sizes", "a");
    size_t at;
    REQUIRE(lead(elector));
    for (at = 0; at < sizeof garbage / sizeof garbage[0]; at++) {
        now.struct_size = change.struct_size = garbage[at];
        GIVES(INVALID_STRUCT_SIZE, elector_get_leadership(elector, &now, &error));
        CHECK(strstr(error.message, "sizeof") != NULL);
        GIVES(INVALID_STRUCT_SIZE, elector_wait(elector, 0, 0, &now));
        GIVES(INVALID_STRUCT_SIZE, elector_get_change(elector, 1, &change, &error));
    }
    now.struct_size = offsetof(struct elector_leadership, work_for_ms) - 1;
    GIVES(INVALID_STRUCT_SIZE, elector_get_leadership(elector, &now, &error));
    CHECK(now.token == 0 && !now.is_leader && change.revision == 0);
    elector_free(elector);
}

/* The first version of elector_leadership ended before `work_for_ms`. */
static void a_struct_of_an_older_header_is_filled_as_far_as_it_goes(void)
{
    union {
        struct elector_leadership ours;
        unsigned char bytes[sizeof(struct elector_leadership)];
    } now;
    struct elector *elector = candidate("memory:older", "a");
    REQUIRE(lead(elector));
    FILL(now);
    now.ours.struct_size = offsetof(struct elector_leadership, work_for_ms);
    GIVES(OK, elector_get_leadership(elector, &now.ours, NULL));
    CHECK(now.ours.is_leader && now.ours.token != 0 && now.ours.trusted_for_ms > 0);
    CHECK(now.bytes[now.ours.struct_size] == GUARD && now.bytes[sizeof now.bytes - 1] == GUARD);
    elector_free(elector);
}

static void a_larger_struct_is_filled_as_far_as_it_is_known(void)
{
    NEWER(elector_leadership) now;
    NEWER(elector_change) change;
    struct elector *elector = candidate("memory:larger", "a");
    REQUIRE(lead(elector));
    FILL(now);
    now.ours.struct_size = sizeof now.bytes;
    GIVES(OK, elector_get_leadership(elector, &now.ours, NULL));
    CHECK(now.ours.is_leader && now.ours.token != 0 && now.ours.struct_size == sizeof now.bytes);
    CHECK(end_is_untouched(now.bytes, sizeof now.ours));
    GIVES(OK, elector_wait(elector, 0, 0, &now.ours));
    CHECK(end_is_untouched(now.bytes, sizeof now.ours));
    FILL(change);
    change.ours.struct_size = UINT32_MAX;
    GIVES(OK, elector_get_change(elector, 1, &change.ours, NULL));
    CHECK(change.ours.revision == 1 && change.ours.struct_size == UINT32_MAX);
    CHECK(end_is_untouched(change.bytes, sizeof change.ours));
    elector_free(elector);
}

static void a_machine_checks_the_sizes_too(void)
{
    struct stand stand = {.store = "memory:sizes", .candidate = "a"};
    struct elector_options *options = options_of(&stand);
    struct elector_lease *lease = NULL;
    NEWER(elector_input) input;
    NEWER(elector_output) output;
    struct elector_leadership now = ELECTOR_LEADERSHIP_INIT;
    size_t at;
    GIVES(OK, elector_lease_new(options, 1, 1, 1, &lease, NULL));
    elector_options_free(options);
    memset(&input, 0, sizeof input);
    input.ours.kind = ELECTOR_INPUT_KIND_CAMPAIGN;
    FILL(output);
    for (at = 0; at < sizeof garbage / sizeof garbage[0]; at++) {
        input.ours.struct_size = output.ours.struct_size = now.struct_size = garbage[at];
        GIVES(INVALID_STRUCT_SIZE, elector_lease_input(lease, 1, &input.ours, NULL));
        GIVES(INVALID_STRUCT_SIZE, elector_lease_poll(lease, &output.ours, NULL));
        GIVES(INVALID_STRUCT_SIZE, elector_lease_leadership(lease, 1, &now, NULL));
    }
    input.ours.struct_size = sizeof input.bytes;
    output.ours.struct_size = sizeof output.bytes;
    GIVES(OK, elector_lease_input(lease, 1, &input.ours, NULL));
    GIVES(OK, elector_lease_poll(lease, &output.ours, NULL));
    CHECK(output.ours.kind == ELECTOR_OUTPUT_KIND_SEND && end_is_untouched(output.bytes, sizeof output.ours));
    elector_lease_free(lease);
}

const struct test sizes_tests[] = {
    TEST(a_smaller_struct_is_refused_and_left_alone),
    TEST(a_struct_of_an_older_header_is_filled_as_far_as_it_goes),
    TEST(a_larger_struct_is_filled_as_far_as_it_is_known),
    TEST(a_machine_checks_the_sizes_too),
    END_OF_TESTS,
};
