//! One hub serves every elector of a process that uses the same store: one thread for time and machines, one
//! thread with the connection to the store (`worker.rs`), however many elections there are.
//!
//! The two threads are apart so that a store that hangs delays only its own replies: deadlines pass, and
//! `StopNewWork` and `Deposed` are told in time. `am_i_leader()` needs neither thread.

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

/// The longest sleep of the hub's thread. The system's timers stand still while the machine is suspended, and
/// leases do not, so the thread must look at the clock again soon.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// The hubs of this process. A forked child does not see its parent's.
static HUBS: PerProcess<Mutex<HashMap<StoreUrl, Arc<Hub>>>> = PerProcess::new();

/// Adds a candidate to the hub of this store, which is started if there is none.
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
        // Hub and candidate hold each other.
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

/// Waits for work; `None` when the hub has no candidate left and is closed.
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

/// Removes the retired candidates that are settled. A machine's lock must not be taken under the hub's.
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
    // Dropping a candidate wakes its subscribers, which must not be done under the hub's lock.
    drop(shared);
    for candidate in settled {
        contained::run(|| drop(candidate));
    }
    let mut shared = hub.lock();
    // Asked again at each wake-up until the store has replied.
    shared.retired.extend(unsettled.iter().map(|candidate| candidate.id));
    shared
}

/// Leaves the registry, unless a candidate was added meanwhile.
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
