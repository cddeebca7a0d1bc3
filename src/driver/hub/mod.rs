//! Hubs. A hub serves all electors of a process that use one store, with two threads for any number of
//! elections: one steps the lease machines and keeps their timers, the other has the connection to the store
//! (`worker.rs`).
//!
//! The two are separate so that a hanging store delays only its own replies: timers still fire, and listeners
//! still receive `StopNewWork` and `Deposed` in time. `am_i_leader()` needs neither thread.

pub(crate) mod candidate;
pub(crate) mod changes;
pub(crate) mod shared;
mod telemetry;
pub(crate) mod view;
mod worker;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::candidate::Candidate;
use self::shared::{Hub, Shared, Work, lock};
use crate::core::Instant;
use crate::core::lease::Config;
use crate::driver::host::fork::PerProcess;
use crate::driver::host::{clock, contained, threads};
use crate::driver::stores::url::StoreUrl;

/// Maximum sleep of the hub's thread. The system's timers stop while the machine is suspended and leases do
/// not, so the thread must read the clock again soon after a suspend.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// The hubs of this process by store. A forked child starts with none.
static HUBS: PerProcess<Mutex<HashMap<StoreUrl, Arc<Hub>>>> = PerProcess::new();

/// Adds a candidate to the hub of the store, and starts that hub if there is none.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn join(url: &StoreUrl, config: Config) -> io::Result<(Arc<Hub>, Arc<Candidate>)> {
    let mut hubs = lock(HUBS.get());
    if let Some(hub) = hubs.get(url) {
        return Ok((Arc::clone(hub), hub.add(config)));
    }
    let hub = Arc::new(Hub::new(url.clone()));
    let candidate = hub.add(config);
    if let Err(error) = start(&hub) {
        // Hub and candidate refer to each other, so the pair would leak.
        hub.lock().remove(&candidate);
        return Err(error);
    }
    hubs.insert(url.clone(), Arc::clone(&hub));
    Ok((hub, candidate))
}

fn start(hub: &Arc<Hub>) -> io::Result<()> {
    let (own, store) = (Arc::clone(hub), Arc::clone(hub));
    threads::spawn("elector-store", move || worker::run(&store))?;
    let started = threads::spawn("elector-hub", move || run(&own));
    if started.is_err() {
        hub.lock().closed = true;
        hub.store_wake.notify_all();
    }
    started.map(|_| ())
}

/// The hub's thread.
fn run(hub: &Hub) {
    while let Some(work) = next_work(hub) {
        work.step();
        let mut shared = hub.lock();
        shared.stepping = false;
        let wake_store = shared.has_store_work();
        drop(shared);
        if wake_store {
            hub.store_wake.notify_one();
        }
    }
}

/// Waits for work. Returns `None` once the hub has no candidate left and has closed.
fn next_work(hub: &Hub) -> Option<Work> {
    let mut shared = hub.lock();
    loop {
        if !shared.retired.is_empty() {
            shared = remove_retired(hub, shared);
        }
        let now = clock::now();
        let work = shared.take_work(now);
        if !work.is_empty() {
            shared.stepping = true;
            return Some(work);
        }
        if shared.candidates.is_empty() {
            drop(shared);
            if close(hub) {
                return None;
            }
            shared = hub.lock();
            continue;
        }
        let due = shared.timers.keys().next().map_or(Instant::MAX, |&(latest, _)| latest);
        shared.sleeps_until = due;
        let sleep = due.saturating_since(now).min(LONGEST_SLEEP);
        shared = hub.hub_wake.wait_timeout(shared, sleep).unwrap_or_else(PoisonError::into_inner).0;
        shared.sleeps_until = Instant::ZERO;
    }
}

/// Removes the retired candidates that are settled. Releases the hub's lock meanwhile, since a machine's lock
/// must not be taken under it.
fn remove_retired<'a>(hub: &'a Hub, mut shared: MutexGuard<'a, Shared>) -> MutexGuard<'a, Shared> {
    let retired = std::mem::take(&mut shared.retired);
    let slots = retired.iter().filter_map(|id| shared.candidates.get(id));
    let candidates: Vec<_> = slots.map(|slot| Arc::clone(&slot.candidate)).collect();
    drop(shared);
    let (settled, unsettled): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|candidate| candidate.is_settled());
    let mut shared = hub.lock();
    for candidate in &settled {
        shared.remove(candidate);
    }
    // Dropping a candidate wakes its subscribers, which must not happen under the hub's lock.
    drop(shared);
    for candidate in settled {
        contained::run(|| drop(candidate));
    }
    let mut shared = hub.lock();
    // Checked again at each wake-up until the store has replied.
    shared.retired.extend(unsettled.iter().map(|candidate| candidate.id));
    shared
}

/// Closes the hub and removes it from the registry. Returns false if a candidate was added meanwhile.
fn close(hub: &Hub) -> bool {
    let mut hubs = lock(HUBS.get());
    let mut shared = hub.lock();
    if !shared.candidates.is_empty() {
        return false;
    }
    shared.closed = true;
    hubs.remove(&hub.url);
    drop(shared);
    hub.store_wake.notify_all();
    true
}
