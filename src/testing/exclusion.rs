//! What must hold at every step of all candidates and the store together: Promise L.

use alloc::format;
use alloc::vec::Vec;

use super::checks::{self, Broken};
use super::node::Node;
use super::plan::Plan;
use super::store::Store;
use crate::core::{FencingToken, Instant};

/// Asks every candidate at the true time `at`, and each also at the edges of its trust.
pub(super) fn check(at: u64, nodes: &mut [Node], store: &Store, plan: &Plan) -> Result<(), Broken> {
    let mut holders: Vec<(usize, FencingToken)> = Vec::new();
    for (index, node) in nodes.iter_mut().enumerate() {
        let now = Instant::from_nanos(node.clock.read(at));
        let Some(run) = &mut node.run else { continue };
        let says = run.machine.leadership(now);
        let wrong = |broken: Broken| format!("candidate {index}: {broken}");
        if says != run.machine.leadership(now) {
            return Err(wrong("two answers to one question".into()));
        }
        run.watch.leadership(&says, plan).map_err(wrong)?;
        checks::edges(now, &says, run.latest, |when| run.machine.leadership(when)).map_err(wrong)?;
        let Some(token) = says.token else { continue };
        holders.push((index, token));
        if plan.cover() {
            let trusted = node.clock.reaches(says.trusted_until.as_nanos());
            let blocked = store.free_from(at);
            if blocked < trusted {
                return Err(wrong(format!(
                    "it trusts {token} until {trusted} ns, but the row may be taken from {blocked} ns on"
                )));
            }
        }
    }
    if plan.exclusion() && holders.len() > 1 {
        return Err(format!("more than one candidate trusts a lease: {holders:?}"));
    }
    Ok(())
}
