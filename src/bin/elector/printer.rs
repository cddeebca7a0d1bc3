//! Writes to standard output and standard error on a thread of its own: a full pipe, or a terminal after
//! Ctrl-S, must not delay renewals.
//!
//! Lines that do not fit into the queue are dropped. Their number is printed when the reader reads again.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::os::signals;

/// Maximum number of lines that wait for a slow reader.
const MAX_LINES: usize = 1_000;
/// At the end of the process, waiting ends when the reader has taken no line for this long.
const READER_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause between two attempts to write to a non-blocking stream that is full.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// Standard error.
pub static STDERR: Printer = Printer::new("standard error", || Box::new(io::stderr()));
/// Standard output.
pub static STDOUT: Printer = Printer::new("standard output", || Box::new(io::stdout()));

/// One output stream for people.
pub struct Printer {
    name: &'static str,
    open: fn() -> Box<dyn Write>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: VecDeque<String>,
    /// How many lines were dropped since the last notice about it.
    dropped: u64,
    /// How many lines were written.
    written: u64,
    is_writing: bool,
    has_thread: bool,
}

impl Printer {
    const fn new(name: &'static str, open: fn() -> Box<dyn Write>) -> Printer {
        let state =
            State { waiting: VecDeque::new(), dropped: 0, written: 0, is_writing: false, has_thread: false };
        Printer { name, open, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Queues `text`, or drops it if the queue is full. Returns at once.
    pub fn print(&'static self, text: String) {
        let mut state = self.lock();
        if !state.has_thread {
            if signals::spawn_without_signals("printer", move || self.write_all()).is_err() {
                // A process that gets no thread keeps no lease either, since that takes threads.
                drop(state);
                let _ = (self.open)().write_all(text.as_bytes());
                return;
            }
            state.has_thread = true;
        }
        if state.waiting.len() >= MAX_LINES {
            state.dropped += 1;
            return;
        }
        // The dropped lines came before this one.
        if let Some(notice) = self.notice(&mut state) {
            state.waiting.push_back(notice);
        }
        state.waiting.push_back(text);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until the queue is written, or the reader stops reading. To be called at the end of the process.
    pub fn finish(&self) {
        let mut state = self.lock();
        while state.is_writing || !state.waiting.is_empty() || state.dropped > 0 {
            let written = state.written;
            let waited =
                self.changed.wait_timeout_while(state, READER_TIMEOUT, |state| state.written == written);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.written == written {
                return;
            }
        }
    }

    fn write_all(&self) {
        let mut out = (self.open)();
        let mut state = self.lock();
        loop {
            let Some(text) = state.waiting.pop_front().or_else(|| self.notice(&mut state)) else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.is_writing = true;
            drop(state);
            // An error means that the reader has closed its end, and wants no more.
            let _ = write_patiently(&mut *out, text.as_bytes());
            state = self.lock();
            state.is_writing = false;
            state.written += 1;
            self.changed.notify_all();
        }
    }

    /// The notice about dropped lines, if there are any; resets their number.
    fn notice(&self, state: &mut State) -> Option<String> {
        let dropped = std::mem::take(&mut state.dropped);
        let lines = if dropped == 1 { "line" } else { "lines" };
        (dropped > 0)
            .then(|| format!("elector: {dropped} {lines} dropped: the reader of {} is too slow\n", self.name))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all of `text`, also to a non-blocking stream: a process that shares the stream may have set that.
fn write_patiently(out: &mut dyn Write, mut text: &[u8]) -> io::Result<()> {
    while !text.is_empty() {
        match out.write(text) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => text = &text[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY_AFTER),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{SyncSender, sync_channel};

    use super::*;

    /// A stream whose reader reads a piece at a time.
    struct Pieces(SyncSender<String>);

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A non-blocking stream that is full every other time.
    #[derive(Default)]
    struct Full {
        is_full: bool,
        taken: Vec<u8>,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.is_full = !self.is_full;
            if self.is_full {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.taken.push(bytes[0]);
            Ok(1)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_non_blocking_stream_still_gets_whole_lines() {
        let mut out = Full::default();
        write_patiently(&mut out, b"line\n").unwrap();
        assert_eq!(out.taken, b"line\n");
    }

    #[test]
    fn lines_for_a_stalled_reader_are_dropped_and_counted_without_blocking() {
        static PIPE: Mutex<Option<SyncSender<String>>> = Mutex::new(None);
        static PRINTER: Printer =
            Printer::new("a test", || Box::new(Pieces(PIPE.lock().unwrap().take().unwrap())));
        let (sender, reader) = sync_channel(0);
        *PIPE.lock().unwrap() = Some(sender);
        // The thread holds one of them, and the queue the others that fit.
        let fits = |count: usize| (0..count).for_each(|number| PRINTER.print(format!("{number}\n")));
        fits(1);
        while !PRINTER.lock().is_writing {
            thread::yield_now();
        }
        fits(MAX_LINES + 5);
        assert_eq!(PRINTER.lock().dropped, 5);
        for _ in 0..=MAX_LINES {
            assert!(!reader.recv().unwrap().contains("dropped"));
        }
        assert_eq!(reader.recv().unwrap(), "elector: 5 lines dropped: the reader of a test is too slow\n");
        PRINTER.print("later\n".into());
        assert_eq!(reader.recv().unwrap(), "later\n");
        PRINTER.finish();
        assert!(PRINTER.lock().waiting.is_empty());
    }
}
