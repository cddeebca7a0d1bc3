//! How long the machine kept a test waiting, for tests whose subject is real time.
//!
//! A thread that is ready to run waits in the run queue of a processor; the kernel counts that for every
//! thread (`/proc/PID/task/TID/schedstat`). The witness adds it up over the processes that it watches and
//! their descendants, and adds how much too late its own thread woke. An upper bound that is missed while the
//! witness waited for more than a quarter of it says nothing about the code: the test is inconclusive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Between two samples. The waits of a thread that ends in between are lost, so it is short.
const PERIOD: Duration = Duration::from_millis(20);
/// Every sleep takes a little longer than asked; only what exceeds this is counted.
const TIMER: Duration = Duration::from_millis(1);

/// Watches processes until it is dropped.
pub struct Witness {
    shared: Arc<Shared>,
    sampler: Option<JoinHandle<()>>,
}

struct Shared {
    ended: AtomicBool,
    record: Mutex<Record>,
}

impl Witness {
    /// Watches this process (all its threads) and these with their descendants; also its own oversleep.
    pub fn start(pids: &[u32]) -> Witness {
        let shared = Arc::new(Shared { ended: AtomicBool::new(false), record: Mutex::default() });
        let theirs = Arc::clone(&shared);
        let sampler = thread::Builder::new().name("witness".into()).spawn(move || sample(&theirs));
        let witness = Witness { shared, sampler: Some(sampler.expect("a thread")) };
        pids.iter().for_each(|&pid| witness.watch(pid));
        witness.reset();
        witness
    }

    /// Watches another process and its descendants from now on.
    pub fn watch(&self, pid: u32) {
        let mut record = self.shared.record.lock().unwrap();
        record.watched.insert(pid);
        for (thread, total) in threads_of(pid) {
            record.waits.meet(thread, total);
        }
    }

    /// Run-queue wait of every thread watched, summed, plus the oversleep of the witness, since the start or
    /// the last `reset`.
    pub fn waited(&self) -> Duration {
        let mut record = self.shared.record.lock().unwrap();
        record.take();
        record.waits.sum() + record.oversleep
    }

    /// Forgets what was waited for until now.
    pub fn reset(&self) {
        let mut record = self.shared.record.lock().unwrap();
        record.take();
        record.waits.forget();
        record.oversleep = Duration::ZERO;
    }

    /// Asserts `took <= bound`. Beyond it, the panic's message begins with "inconclusive: " if the machine
    /// kept the test waiting for more than a quarter of the bound.
    #[track_caller]
    pub fn at_most(&self, took: Duration, bound: Duration, what: &str) {
        let waited = self.waited();
        let missed =
            format!("{what} took {took:?}, not {bound:?}; the machine kept it waiting for {waited:?}");
        match verdict(took, bound, waited) {
            Verdict::Kept => {}
            Verdict::Inconclusive => panic!("inconclusive: {missed}"),
            Verdict::Missed => panic!("{missed}"),
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(sampler) = self.sampler.take() {
            sampler.thread().unpark();
            let _ = sampler.join();
        }
    }
}

/// What a bound on time and the waits say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The bound was kept, however busy the machine was.
    Kept,
    /// It was missed, and the machine may be the cause.
    Inconclusive,
    /// It was missed, and the machine is not the cause.
    Missed,
}

/// Judges one measurement.
pub fn verdict(took: Duration, bound: Duration, waited: Duration) -> Verdict {
    match took <= bound {
        true => Verdict::Kept,
        false if waited > bound / 4 => Verdict::Inconclusive,
        false => Verdict::Missed,
    }
}

/// A thread: the numbers of its process and its own.
pub type Thread = (u32, u32);

/// The waits of threads, from samples of the kernel's counters, which never shrink while a thread lives.
#[derive(Default)]
pub struct Waits {
    last: BTreeMap<Thread, Duration>,
    sum: Duration,
}

impl Waits {
    /// A thread that was there before it was watched: its waits until now do not count.
    pub fn meet(&mut self, thread: Thread, total: Duration) {
        self.last.entry(thread).or_insert(total);
    }

    /// A sample. A thread that was not there before has begun since, so all its waits count; so do those of a
    /// new thread that got the number of an old one, which is seen by a counter that shrank.
    pub fn note(&mut self, thread: Thread, total: Duration) {
        let before = self.last.insert(thread, total).unwrap_or_default();
        self.sum += total.checked_sub(before).unwrap_or(total);
    }

    /// What all threads waited for since the last `forget`.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// Begins a new sum.
    pub fn forget(&mut self) {
        self.sum = Duration::ZERO;
    }
}

#[derive(Default)]
struct Record {
    watched: BTreeSet<u32>,
    waits: Waits,
    oversleep: Duration,
    /// The thread that samples. Its waits are part of its oversleep.
    sampler: Option<u32>,
}

impl Record {
    /// Takes a sample of every thread. A process that was seen stays watched after its parent has ended.
    fn take(&mut self) {
        let mut found: Vec<u32> = self.watched.iter().copied().collect();
        while let Some(pid) = found.pop() {
            found.extend(children_of(pid).into_iter().filter(|child| self.watched.insert(*child)));
        }
        let own = std::process::id();
        for pid in self.watched.iter().copied().chain([own]) {
            for (thread, total) in threads_of(pid) {
                if pid != own || Some(thread.1) != self.sampler {
                    self.waits.note(thread, total);
                }
            }
        }
    }
}

fn sample(shared: &Shared) {
    // The link names this thread as PROCESS/task/THREAD; where there is none, there are no counters either.
    let this = fs::read_link("/proc/thread-self").unwrap_or_default();
    shared.record.lock().unwrap().sampler = this.file_name().and_then(|name| name.to_str()?.parse().ok());
    while !shared.ended.load(Ordering::Relaxed) {
        let asleep = Instant::now();
        thread::park_timeout(PERIOD);
        let oversleep = asleep.elapsed().saturating_sub(PERIOD + TIMER);
        let mut record = shared.record.lock().unwrap();
        record.oversleep += oversleep;
        record.take();
    }
}

/// All threads of a process, each with its time in run queues since it began. A process that ended has none.
fn threads_of(pid: u32) -> Vec<(Thread, Duration)> {
    let wait = |number: u32| {
        let line = fs::read_to_string(format!("/proc/{pid}/task/{number}/schedstat")).ok()?;
        let nanos = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(((pid, number), Duration::from_nanos(nanos)))
    };
    task_numbers(pid).into_iter().filter_map(wait).collect()
}

fn children_of(pid: u32) -> Vec<u32> {
    let list = |number| fs::read_to_string(format!("/proc/{pid}/task/{number}/children")).unwrap_or_default();
    let lists: Vec<String> = task_numbers(pid).into_iter().map(list).collect();
    lists.iter().flat_map(|list| list.split_whitespace().filter_map(|child| child.parse().ok())).collect()
}

fn task_numbers(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}
