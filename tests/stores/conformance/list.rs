//! The properties that every store has.

/// Hands the names of all properties to another macro.
macro_rules! every_property {
    ($with:ident) => {
        $with! {
            one_of_eight_racing_candidates_is_granted_the_lease
            a_held_lease_is_shown_and_not_granted
            an_expired_lease_is_granted_and_not_before
            a_lease_counts_from_the_execution_of_the_acquire
            only_the_holder_renews
            an_expired_lease_cannot_be_renewed
            only_the_holder_releases
            a_released_row_keeps_its_token_and_is_free_at_once
            a_late_release_does_not_end_the_next_term
            tokens_grow_through_every_end_of_a_term
            tokens_are_not_below_the_microseconds_since_1970
            a_revoked_holder_fails_its_renewal_and_keeps_others_out
            a_revoked_lease_is_granted_when_it_ends_and_not_before
            only_the_named_term_is_revoked
            a_vacant_row_has_nothing_to_revoke
            an_acquire_of_an_unchanged_row_is_refused_if_it_changed
            a_look_changes_nothing
            meta_is_shown_while_the_term_lasts
            every_name_is_kept_exactly
            a_batch_is_answered_in_order
            a_batch_grants_an_election_once
            ten_thousand_jobs_are_one_batch
            a_clean_up_spares_rows_that_may_still_matter
            rows_are_listed_by_name_with_the_start_of_their_term
            a_release_rings_every_bell
            a_renewal_rings_no_bell
            replies_carry_one_clock_that_goes_forward
        }
    };
}

/// The same for those that bound real time.
macro_rules! every_timed_property {
    ($with:ident) => {
        $with! {
            an_expired_lease_is_granted_within_a_second
        }
    };
}
