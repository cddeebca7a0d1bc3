//! `--events`: writes one JSON line per event, without delaying renewals.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

use elector::Change;
use elector::driver::descriptor_limit;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::exit::Failure;
use crate::output;

/// Maximum number of events that wait for a slow reader, and the timeout for the last ones at the end.
const QUEUE: usize = 10_000;
const LAST_LINES: Duration = Duration::from_secs(5);

/// The writer of the events. It has a thread of its own: a reader that does not read must not delay renewals.
pub struct Events {
    queue: SyncSender<Change>,
    written: Receiver<()>,
    created: Option<PathBuf>,
    /// How many events were dropped since the last one that was queued.
    dropped: u64,
    any: bool,
}

impl Events {
    /// Opens `path`, or standard output for `-`. A file is appended to.
    pub fn open(path: &Path) -> Result<Events, Failure> {
        let mut created = None;
        let to: Box<dyn Write + Send> = if path.as_os_str() == "-" {
            Box::new(io::stdout())
        } else {
            let refuse = |error: io::Error| {
                let path = path.display();
                if descriptor_limit::advice(&error).is_some() {
                    return Failure::system(format_args!("write events to '{path}'"), &error);
                }
                let advice = match error.raw_os_error() {
                    Some(libc::ENXIO) => "the pipe has no reader; start one first",
                    _ => "use a file that can be written, or - for standard output",
                };
                Failure::usage(format!("cannot write events to '{path}': {error}; {advice}"))
            };
            let (file, new) = open_or_create(path).map_err(refuse)?;
            created = new.then(|| path.to_owned());
            Box::new(file)
        };
        let (queue, incoming) = mpsc::sync_channel(QUEUE);
        let (done, written) = mpsc::channel();
        thread::Builder::new()
            .name("events".into())
            .spawn(move || {
                write_all(to, &incoming);
                let _ = done.send(());
            })
            .map_err(|error| Failure::system("start a thread", &error))?;
        Ok(Events { queue, written, created, dropped: 0, any: false })
    }

    /// Queues one event, or drops it if the queue is full.
    pub fn write(&mut self, change: &Change) {
        self.any = true;
        match self.queue.try_send(change.clone()) {
            Ok(()) if self.dropped > 0 => {
                let count = std::mem::take(&mut self.dropped);
                output::error(format!("--events: {count} events were dropped: the reader is too slow"));
            }
            Err(TrySendError::Full(_)) => {
                self.dropped += 1;
                if self.dropped == 1 {
                    output::error(format!(
                        "the reader of --events is too slow; {QUEUE} events wait, and later ones are dropped"
                    ));
                }
            }
            // Disconnected: the thread has reported the error and ended.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
        }
    }

    /// Waits for the last lines, at most [`LAST_LINES`]. Removes a file that was created for no event.
    pub fn close(self) {
        drop(self.queue);
        let _ = self.written.recv_timeout(LAST_LINES);
        if let Some(path) = self.created.filter(|_| !self.any) {
            let _ = fs::remove_file(path);
        }
    }
}

/// The file, and whether it is new.
fn open_or_create(path: &Path) -> io::Result<(File, bool)> {
    match OpenOptions::new().append(true).create_new(true).open(path) {
        Ok(file) => Ok((file, true)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Opening a pipe without a reader would block, and no signal would end that.
            let file = OpenOptions::new().append(true).custom_flags(libc::O_NONBLOCK).open(path)?;
            fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
            Ok((file, false))
        }
        Err(error) => Err(error),
    }
}

fn write_all(mut to: Box<dyn Write + Send>, incoming: &Receiver<Change>) {
    while let Ok(change) = incoming.recv() {
        if let Err(error) = output::json_line(&mut to, &change) {
            if error.kind() != io::ErrorKind::BrokenPipe {
                output::error(format!("--events: {error}; no more events are written"));
            }
            return;
        }
    }
}
