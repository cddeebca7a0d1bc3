//! One line per transition: the tail is kept for people, a digest of everything for comparison.

use std::collections::VecDeque;

const TAIL: usize = 120;

#[derive(Default)]
pub struct Log {
    tail: VecDeque<String>,
    lines: u64,
    digest: u64,
    /// Print every line as it comes.
    pub aloud: bool,
}

impl Log {
    pub fn line(&mut self, at: u64, text: std::fmt::Arguments<'_>) {
        let line = format!("{:>6}.{:09} {text}", at / 1_000_000_000, at % 1_000_000_000);
        // FNV-1a (Fowler, Noll, Vo), over all lines.
        for byte in line.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.lines += 1;
        if self.aloud {
            println!("{line}");
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    pub fn tail(&self) -> String {
        self.tail.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Equal for equal logs.
    pub fn digest(&self) -> (u64, u64) {
        (self.lines, self.digest)
    }
}
