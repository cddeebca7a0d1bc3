//! A fork at a bad moment. Alone, for a fork while another test's thread is being started would hang the
//! child in Rust's own library.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use elector::Elector;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

const SOON: Duration = Duration::from_secs(60);

fn candidate(store: &str) -> Elector {
    Elector::builder("e").store(format!("memory:{store}")).build().unwrap()
}

#[test]
fn a_forked_child_can_make_an_elector_of_its_own_whatever_threads_of_the_parent_were_doing() {
    if !crate::is_alone(
        "fork::a_forked_child_can_make_an_elector_of_its_own_whatever_threads_of_the_parent_were_doing",
    ) {
        return;
    }
    // Threads that make and drop electors all the time: most forks happen while one of them holds a lock.
    // They use one hub, so that none of them starts a thread.
    let _hub = candidate("fork-busy");
    let ended = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let ended = Arc::clone(&ended);
            std::thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    drop(candidate("fork-busy"));
                }
            })
        })
        .collect();
    let elector = candidate("fork-parent");
    let mut changes = elector.changes();
    for _ in 0..50 {
        // SAFETY: the child uses only what is made anew for it, and leaves without running destructors.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let none = changes.next().is_none() && elector.changes().next().is_none();
                let own = candidate("fork-child");
                own.campaign();
                let leads = own.wait_until_leader(SOON).is_some();
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(i32::from(!(none && leads))) }
            }
            ForkResult::Parent { child } => {
                // A child that does not hang gives up by itself after SOON.
                let deadline = Instant::now() + 2 * SOON;
                let status = loop {
                    match waitpid(child, Some(WaitPidFlag::WNOHANG)).unwrap() {
                        WaitStatus::StillAlive if Instant::now() < deadline => {
                            std::thread::sleep(Duration::from_millis(1))
                        }
                        WaitStatus::StillAlive => {
                            let _ = kill(child, Signal::SIGKILL);
                            panic!("a child hangs");
                        }
                        status => break status,
                    }
                };
                assert_eq!(status, WaitStatus::Exited(child, 0));
            }
        }
    }
    ended.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|thread| thread.join().unwrap());
}
