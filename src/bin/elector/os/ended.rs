//! How a process ended, and the exit code that stands for it.

/// How a process ended. Signals are numbers: a real-time signal has no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only `elector run` waits for a command"))]
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

impl Ended {
    /// The exit code that stands for it, as in shells: 128 + n for signal n.
    pub fn exit_code(self) -> u8 {
        let code = match self {
            Ended::Code(code) => code,
            Ended::Signal(signal) => 128 + signal,
        };
        u8::try_from(code & 0xff).unwrap_or(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_shells() {
        assert_eq!(Ended::Code(3).exit_code(), 3);
        assert_eq!(Ended::Signal(15).exit_code(), 143);
    }
}
