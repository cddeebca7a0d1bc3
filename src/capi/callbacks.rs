//! The thread that calls the caller's callbacks: one for all electors of the process.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::change::elector_change;
use super::history::{History, Notifier};
use super::options::{OnChange, OnLog};
use crate::driver::host::fork::{self, PerProcess};
use crate::driver::host::threads;

/// Maximum number of log lines that wait for a slow callback; beyond it the oldest are dropped.
const MAX_LINES: usize = 1_000;

/// The callbacks of one elector.
pub(super) struct Entry {
    history: Arc<History>,
    on_change: Option<OnChange>,
    on_log: Option<OnLog>,
    /// Resumes an elector whose renewals were withheld because its callback had not been called with ELECTED.
    resume: Box<dyn Fn() + Send + Sync>,
    /// The revision of the latest change that was told. Locked while a callback runs.
    calling: Mutex<u64>,
    ended: AtomicBool,
}

/// The work of the thread: whose callbacks to call, and the log lines that wait.
#[derive(Default)]
struct Dispatcher {
    entries: Vec<Arc<Entry>>,
    lines: VecDeque<(i32, String)>,
    lost_lines: u64,
    running: bool,
}

static DISPATCHER: PerProcess<Mutex<Dispatcher>> = PerProcess::new();

thread_local! {
    /// The process, by [`fork::generation`], in which this thread is the one that calls callbacks.
    static CALLS_IN: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Whether this thread is the one that calls callbacks. False in a child that a callback has forked: the
/// child's program goes on in this thread, and gets another one for callbacks if it needs that.
pub(super) fn is_callback() -> bool {
    CALLS_IN.get() == Some(fork::generation())
}

/// Calls these callbacks from now on, until `unregister`.
pub(super) fn register(
    history: &Arc<History>,
    on_change: Option<OnChange>,
    on_log: Option<OnLog>,
    resume: Box<dyn Fn() + Send + Sync>,
) -> std::io::Result<Option<Arc<Entry>>> {
    if on_change.is_none() && on_log.is_none() {
        return Ok(None);
    }
    let entry = Arc::new(Entry {
        history: Arc::clone(history),
        on_change,
        on_log,
        resume,
        calling: Mutex::new(0),
        ended: AtomicBool::new(false),
    });
    let mut dispatcher = lock();
    if !dispatcher.running {
        threads::spawn("elector-calls", run)?;
        dispatcher.running = true;
    }
    dispatcher.entries.push(Arc::clone(&entry));
    Ok(Some(entry))
}

/// Ends the calls of this entry's callbacks. Waits for one that is running, unless this is called from it.
pub(super) fn unregister(entry: &Arc<Entry>) {
    lock().entries.retain(|known| !Arc::ptr_eq(known, entry));
    entry.ended.store(true, Ordering::SeqCst);
    Notifier::notify();
    if !is_callback() {
        drop(entry.calling.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Queues a line for the log callbacks. The caller may hold any other lock.
pub(super) fn log(level: i32, line: String) {
    let mut dispatcher = lock();
    if dispatcher.entries.iter().all(|entry| entry.on_log.is_none()) {
        return;
    }
    if dispatcher.lines.len() == MAX_LINES {
        dispatcher.lines.pop_front();
        dispatcher.lost_lines += 1;
    }
    dispatcher.lines.push_back((level, line));
    drop(dispatcher);
    Notifier::notify();
}

fn lock() -> MutexGuard<'static, Dispatcher> {
    DISPATCHER.get().lock().unwrap_or_else(PoisonError::into_inner)
}

fn run() {
    CALLS_IN.set(Some(fork::generation()));
    let mut seen = 0;
    loop {
        let mut dispatcher = lock();
        if dispatcher.entries.is_empty() {
            dispatcher.running = false;
            dispatcher.lines.clear();
            dispatcher.lost_lines = 0;
            return;
        }
        let entries = dispatcher.entries.clone();
        let lines = std::mem::take(&mut dispatcher.lines);
        let lost = std::mem::take(&mut dispatcher.lost_lines);
        drop(dispatcher);
        if lost > 0 {
            let warn = super::options::elector_log_level::Warn as i32;
            tell(&entries, warn, format!("{lost} log lines were dropped: the log callback is too slow"));
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
        seen = Notifier::wait(seen, None);
    }
}

/// Calls each log callback once with the line, however many electors share it.
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
    /// False once the elector was freed, and in a child that a callback has forked.
    fn may_be_called(&self) -> bool {
        !self.ended.load(Ordering::SeqCst) && is_callback()
    }

    /// Calls the callback for each change for which it was not called yet.
    fn catch_up(&self) {
        let Some(callback) = self.on_change else { return };
        let mut told = self.calling.lock().unwrap_or_else(PoisonError::into_inner);
        // Checked before the history is locked: in a forked child it may be locked for ever.
        while self.may_be_called() {
            let Some(change) = self.history.after(*told) else { return };
            *told = change.revision;
            if self.history.tells(change.revision) {
                (self.resume)();
            }
            let change = elector_change::of(&change);
            // SAFETY: as above.
            unsafe { (callback.function)(callback.user_data, &change) };
        }
    }
}
