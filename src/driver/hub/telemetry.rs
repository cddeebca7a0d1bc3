//! What the library reports to `tracing` and `metrics`.
//!
//! | metric | kind | labels | meaning |
//! |---|---|---|---|
//! | `elector_is_leader` | gauge | `election` | 1 while this process leads, else 0, once it has campaigned |
//! | `elector_token` | gauge | `election` | the fencing token of the current term |
//! | `elector_trusted_seconds` | gauge | `election` | trust left after a renewal |
//! | `elector_transitions_total` | counter | `election`, `reason` | terms begun and ended |
//! | `elector_at_risk_total` | counter | `election` | renewals that failed or were withheld |
//! | `elector_store_op_seconds` | histogram | `op`, `outcome` | duration of its batch |
//! | `elector_store_jobs_total` | counter | `op`, `outcome` | operations by what became of them |
//! | `elector_store_batches_total` | counter | | batches that went to the store |

use std::time::Duration;

use crate::core::lease::{Event, Leadership};
use crate::core::{Instant, Name};
use crate::driver::stores::{Answer, Job};

/// Registers the gauge when a campaign begins, so that an election that this process has not won yet shows 0
/// instead of nothing.
pub(crate) fn campaign(election: &Name) {
    // Incremented by zero rather than set to zero: another candidate of this process may lead.
    metrics::gauge!("elector_is_leader", "election" => election.as_str().to_owned()).increment(0.0);
}

/// Reports an event of a candidate.
pub(crate) fn event(election: &Name, candidate: &Name, event: &Event, leadership: Leadership, now: Instant) {
    let (election, candidate) = (election.as_str(), candidate.as_str());
    let label = || election.to_owned();
    let trusted = || leadership.trusted_for(now).as_secs_f64();
    match event {
        Event::Elected { token } => {
            tracing::info!(election, candidate, token = token.get(), "elected");
            metrics::gauge!("elector_is_leader", "election" => label()).set(1.0);
            metrics::gauge!("elector_token", "election" => label()).set(token.get() as f64);
            metrics::gauge!("elector_trusted_seconds", "election" => label()).set(trusted());
            metrics::counter!("elector_transitions_total", "election" => label(), "reason" => "elected")
                .increment(1);
        }
        Event::Renewed { token } => {
            tracing::trace!(election, candidate, token = token.get(), "renewed");
            metrics::gauge!("elector_trusted_seconds", "election" => label()).set(trusted());
        }
        Event::AtRisk { token } => {
            tracing::warn!(election, candidate, token = token.get(), trusted_s = trusted(), "renewal failed");
            metrics::counter!("elector_at_risk_total", "election" => label()).increment(1);
        }
        Event::StopNewWork { token } => {
            tracing::warn!(election, candidate, token = token.get(), "new work must stop");
        }
        Event::Deposed { token, reason } => {
            let reason = reason.name();
            tracing::info!(election, candidate, token = token.get(), reason, "deposed");
            metrics::gauge!("elector_is_leader", "election" => label()).set(0.0);
            metrics::gauge!("elector_trusted_seconds", "election" => label()).set(0.0);
            metrics::counter!("elector_transitions_total", "election" => label(), "reason" => reason)
                .increment(1);
        }
        Event::LeaderChanged { leader } => {
            let leader = leader.as_ref().map_or("", |leader| leader.id.candidate());
            tracing::debug!(election, candidate, leader, "leader changed");
        }
        Event::StoreClockStepped { by_us } => {
            tracing::warn!(election, candidate, by_us, "the store's clock was stepped");
        }
        Event::TimelineChanged => tracing::warn!(election, candidate, "the store is on another timeline"),
        Event::PoisonedRow { remaining_ms } => {
            tracing::error!(
                election,
                candidate,
                remaining_ms,
                "the row expires further ahead than its lease allows; `elector break` clears it"
            );
        }
    }
}

/// Reports a batch and the outcomes of its jobs.
pub(crate) fn batch(jobs: &[Job], answers: &[Answer], took: Duration) {
    metrics::counter!("elector_store_batches_total").increment(1);
    // One update for each kind, outcome and batch: a batch of 10 000 renewals must not cost 10 000 updates.
    let mut counts: Vec<(&'static str, &'static str, u64)> = Vec::new();
    for (job, answer) in jobs.iter().zip(answers) {
        let (op, outcome) = (job.request.op.name(), answer.reply.outcome.name());
        match counts.iter_mut().find(|count| count.0 == op && count.1 == outcome) {
            Some(count) => count.2 += 1,
            None => counts.push((op, outcome, 1)),
        }
    }
    for (op, outcome, count) in counts {
        metrics::counter!("elector_store_jobs_total", "op" => op, "outcome" => outcome).increment(count);
        metrics::histogram!("elector_store_op_seconds", "op" => op, "outcome" => outcome)
            .record(took.as_secs_f64());
    }
}
