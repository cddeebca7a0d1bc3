//! One line per transition: the tail is kept for people, a digest of everything for comparison.

use ::core::fmt::Arguments;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;

const TAIL: usize = 120;

/// Called with every line.
pub(super) type Listener = dyn FnMut(&str);

#[derive(Default)]
pub(super) struct Log {
    tail: VecDeque<String>,
    lines: u64,
    digest: u64,
    listener: Option<Box<Listener>>,
}

impl Log {
    pub(super) fn line(&mut self, at: u64, text: Arguments<'_>) {
        let line = format!("{:>6}.{:09} {text}", at / 1_000_000_000, at % 1_000_000_000);
        // FNV-1a (Fowler, Noll, Vo), over all lines.
        for byte in line.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.lines += 1;
        if let Some(listener) = &mut self.listener {
            listener(&line);
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// Hands over the lines that are still kept, and from now on every line.
    pub(super) fn listen(&mut self, mut listener: Box<Listener>) {
        self.tail.iter().for_each(|line| listener(line));
        self.listener = Some(listener);
    }

    pub(super) fn tail(&self) -> String {
        self.tail.iter().map(|line| format!("{line}\n")).collect()
    }

    /// The number of lines and a hash of them: equal for equal logs.
    pub(super) fn digest(&self) -> (u64, u64) {
        (self.lines, self.digest)
    }
}
