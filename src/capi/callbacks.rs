//! The one thread that calls the caller's functions.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::change::elector_change;
use super::history::{Bell, History};
use super::options::{OnChange, OnLog};
use crate::driver::fork::{self, PerProcess};
use crate::driver::threads;

/// Maximum number of lines that wait for a slow callback; beyond it the oldest are lost.
const MOST_LINES: usize = 1_000;

/// An elector's functions.
pub(super) struct Entry {
    history: Arc<History>,
    on_change: Option<OnChange>,
    on_log: Option<OnLog>,
    /// Has the elector go on that was held back while nothing was told.
    revive: Box<dyn Fn() + Send + Sync>,
    /// Held while a function is called.
    calling: Mutex<u64>,
    ended: AtomicBool,
}

#[derive(Default)]
struct Desk {
    entries: Vec<Arc<Entry>>,
    lines: VecDeque<(i32, String)>,
    lost_lines: u64,
    running: bool,
}

static DESK: PerProcess<Mutex<Desk>> = PerProcess::new();

thread_local! {
    /// In which process, by [`fork::generation`], this is the thread that calls the caller's functions.
    static CALLS_IN: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Whether this is the thread that calls the caller's functions. In a child that one of them has forked it is
/// not any more: the child goes on in it with whatever it likes, and has another such thread if it needs one.
pub(super) fn is_callback() -> bool {
    CALLS_IN.get() == Some(fork::generation())
}

/// Has the functions called from now on, until `unregister`.
pub(super) fn register(
    history: &Arc<History>,
    on_change: Option<OnChange>,
    on_log: Option<OnLog>,
    revive: Box<dyn Fn() + Send + Sync>,
) -> std::io::Result<Option<Arc<Entry>>> {
    if on_change.is_none() && on_log.is_none() {
        return Ok(None);
    }
    let entry = Arc::new(Entry {
        history: Arc::clone(history),
        on_change,
        on_log,
        revive,
        calling: Mutex::new(0),
        ended: AtomicBool::new(false),
    });
    let mut desk = lock();
    if !desk.running {
        threads::spawn("elector-calls", run)?;
        desk.running = true;
    }
    desk.entries.push(Arc::clone(&entry));
    Ok(Some(entry))
}

/// When this returns, nothing of the entry is being called or will be; in a callback of its own, nothing will
/// be once that has returned.
pub(super) fn unregister(entry: &Arc<Entry>) {
    lock().entries.retain(|known| !Arc::ptr_eq(known, entry));
    entry.ended.store(true, Ordering::SeqCst);
    Bell::ring();
    if !is_callback() {
        drop(entry.calling.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A line for the log. Called from anywhere, under whatever locks.
pub(super) fn log(level: i32, line: String) {
    let mut desk = lock();
    if desk.entries.iter().all(|entry| entry.on_log.is_none()) {
        return;
    }
    if desk.lines.len() == MOST_LINES {
        desk.lines.pop_front();
        desk.lost_lines += 1;
    }
    desk.lines.push_back((level, line));
    drop(desk);
    Bell::ring();
}

fn lock() -> MutexGuard<'static, Desk> {
    DESK.get().lock().unwrap_or_else(PoisonError::into_inner)
}

fn run() {
    CALLS_IN.set(Some(fork::generation()));
    let mut heard = 0;
    loop {
        let mut desk = lock();
        if desk.entries.is_empty() {
            desk.running = false;
            desk.lines.clear();
            desk.lost_lines = 0;
            return;
        }
        let entries = desk.entries.clone();
        let lines = std::mem::take(&mut desk.lines);
        let lost = std::mem::take(&mut desk.lost_lines);
        drop(desk);
        if lost > 0 {
            let warn = super::options::elector_log_level::Warn as i32;
            tell(&entries, warn, format!("{lost} log lines were lost: the callback takes too long"));
        }
        for (level, line) in lines {
            tell(&entries, level, line);
        }
        for entry in &entries {
            entry.catch_up();
        }
        drop(entries);
        if !is_callback() {
            return;
        }
        heard = Bell::wait(heard, None);
    }
}

/// Tells a line once to each function and its data.
fn tell(entries: &[Arc<Entry>], level: i32, line: String) {
    let Ok(line) = CString::new(line.replace('\0', "\u{fffd}")) else { return };
    let mut told: Vec<OnLog> = Vec::new();
    for entry in entries {
        let Some(callback) = entry.on_log.filter(|callback| !told.contains(callback)) else { continue };
        let calling = entry.calling.lock().unwrap_or_else(PoisonError::into_inner);
        if entry.may_be_called() {
            told.push(callback);
            // SAFETY: the caller gave the function to be called like this, and the elector is not freed.
            unsafe { (callback.function)(callback.user_data, level, line.as_ptr()) };
        }
        drop(calling);
    }
}

impl Entry {
    /// Whether the elector is neither freed nor, in a child that a callback has forked, dead.
    fn may_be_called(&self) -> bool {
        !self.ended.load(Ordering::SeqCst) && is_callback()
    }

    /// Tells the changes that were not told yet.
    fn catch_up(&self) {
        let Some(callback) = self.on_change else { return };
        let mut told = self.calling.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked first: a forked child may find the history locked for good.
        while self.may_be_called() {
            let Some(change) = self.history.after(*told) else { return };
            *told = change.revision;
            if self.history.tells(change.revision) {
                (self.revive)();
            }
            let change = elector_change::of(&change);
            // SAFETY: as above.
            unsafe { (callback.function)(callback.user_data, &change) };
        }
    }
}
