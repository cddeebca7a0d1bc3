//! The protocol between `elector run` and its guardian: one line per message over a socket pair.
//!
//! Times are nanoseconds on the boot clock, which all processes of a machine share. The end of the stream
//! means that the other process has ended.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::str::FromStr;

use elector::core::Instant;
use nix::sys::signal::Signal;

use crate::os::ended::Ended;

/// `elector run` to its guardian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The command may run until `soft`, and all its processes must have ended by `hard`. Each extension
    /// replaces the one before; the first one starts the command.
    Extend {
        /// SIGTERM at this instant.
        soft: Instant,
        /// SIGKILL is sent early enough that no process is left at this instant.
        hard: Instant,
    },
    /// Pass this signal on to the command's process group.
    Signal(Signal),
    /// The job was continued in its terminal.
    Continue,
    /// End the command now: SIGTERM, the grace, SIGKILL.
    Stop,
}

/// The guardian to `elector run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The command runs; the number is its process and its process group.
    Started(i32),
    /// The command could not be started, for this `errno`.
    Failed(i32),
    /// Ctrl-Z stopped the command.
    Suspended,
    /// This signal stopped the command, other than by Ctrl-Z.
    Stopped(i32),
    /// The command was continued.
    Continued,
    /// The deadline came before an extension: the command got SIGTERM.
    Expired,
    /// The keeper was killed: the command got SIGTERM.
    Unkept,
    /// The store's path leads elsewhere: the command got SIGKILL.
    Displaced,
    /// The command itself ended; processes that it started may be left.
    Exited(Ended),
    /// No process of the command is left. The guardian ends now.
    Gone,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Extend { soft, hard } => write!(f, "extend {} {}", soft.as_nanos(), hard.as_nanos()),
            Order::Signal(signal) => write!(f, "signal {}", *signal as i32),
            Order::Continue => f.write_str("continue"),
            Order::Stop => f.write_str("stop"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Started(group) => write!(f, "started {group}"),
            Report::Failed(errno) => write!(f, "failed {errno}"),
            Report::Suspended => f.write_str("suspended"),
            Report::Stopped(signal) => write!(f, "stopped {signal}"),
            Report::Continued => f.write_str("continued"),
            Report::Expired => f.write_str("expired"),
            Report::Unkept => f.write_str("unkept"),
            Report::Displaced => f.write_str("displaced"),
            Report::Exited(Ended::Code(code)) => write!(f, "exited code {code}"),
            Report::Exited(Ended::Signal(signal)) => write!(f, "exited signal {signal}"),
            Report::Gone => f.write_str("gone"),
        }
    }
}

/// A line that is no message: a bug, since both ends are the same program.
#[derive(Debug)]
pub struct NotUnderstood;

impl FromStr for Order {
    type Err = NotUnderstood;

    fn from_str(line: &str) -> Result<Order, NotUnderstood> {
        let words: Vec<&str> = line.split(' ').collect();
        Ok(match words[..] {
            ["extend", soft, hard] => Order::Extend {
                soft: Instant::from_nanos(number(soft)?),
                hard: Instant::from_nanos(number(hard)?),
            },
            ["signal", signal] => {
                Order::Signal(Signal::try_from(number::<i32>(signal)?).map_err(|_| NotUnderstood)?)
            }
            ["continue"] => Order::Continue,
            ["stop"] => Order::Stop,
            _ => return Err(NotUnderstood),
        })
    }
}

impl FromStr for Report {
    type Err = NotUnderstood;

    fn from_str(line: &str) -> Result<Report, NotUnderstood> {
        let words: Vec<&str> = line.split(' ').collect();
        Ok(match words[..] {
            ["started", group] => Report::Started(number(group)?),
            ["failed", errno] => Report::Failed(number(errno)?),
            ["suspended"] => Report::Suspended,
            ["stopped", signal] => Report::Stopped(number(signal)?),
            ["continued"] => Report::Continued,
            ["expired"] => Report::Expired,
            ["unkept"] => Report::Unkept,
            ["displaced"] => Report::Displaced,
            ["exited", "code", code] => Report::Exited(Ended::Code(number(code)?)),
            ["exited", "signal", signal] => Report::Exited(Ended::Signal(number(signal)?)),
            ["gone"] => Report::Gone,
            _ => return Err(NotUnderstood),
        })
    }
}

fn number<N: FromStr>(word: &str) -> Result<N, NotUnderstood> {
    word.parse().map_err(|_| NotUnderstood)
}

/// One end of the channel.
pub struct Channel {
    stream: UnixStream,
    unread: Vec<u8>,
}

/// What a read brought.
#[derive(Debug)]
pub enum Received<M> {
    /// A message.
    Message(M),
    /// No message yet; only from a non-blocking stream.
    Nothing,
    /// The other process has ended.
    End,
}

impl Channel {
    /// Speaks over `stream`.
    pub fn new(stream: UnixStream) -> Channel {
        Channel { stream, unread: Vec::new() }
    }

    /// The stream, to wait on it.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Sends `message`. Errors are ignored: a peer that has ended or does not read is noticed elsewhere.
    pub fn send(&self, message: impl fmt::Display) {
        let _ = (&self.stream).write_all(format!("{message}\n").as_bytes());
    }

    /// The next message.
    pub fn receive<M: FromStr<Err = NotUnderstood>>(&mut self) -> io::Result<Received<M>> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line[..end]).into_owned();
                let message = line.parse().map_err(|NotUnderstood| {
                    io::Error::new(io::ErrorKind::InvalidData, format!("message not understood: {line}"))
                })?;
                return Ok(Received::Message(message));
            }
            let mut bytes = [0; 256];
            match (&self.stream).read(&mut bytes) {
                Ok(0) => return Ok(Received::End),
                Ok(count) => self.unread.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Received::Nothing),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A reset means that the peer ended before it had read all our messages.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Received::End),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_parses_back_to_itself() {
        let orders = [
            Order::Extend { soft: Instant::from_nanos(5), hard: Instant::MAX },
            Order::Signal(Signal::SIGUSR1),
            Order::Continue,
            Order::Stop,
        ];
        for order in orders {
            assert_eq!(order.to_string().parse::<Order>().unwrap(), order);
        }
        let reports = [
            Report::Started(7),
            Report::Failed(2),
            Report::Suspended,
            Report::Stopped(19),
            Report::Continued,
            Report::Expired,
            Report::Unkept,
            Report::Displaced,
            Report::Exited(Ended::Code(3)),
            Report::Exited(Ended::Signal(9)),
            Report::Gone,
        ];
        for report in reports {
            assert_eq!(report.to_string().parse::<Report>().unwrap(), report);
        }
    }

    #[test]
    fn the_end_of_the_stream_comes_after_all_messages() {
        let (near, far) = UnixStream::pair().unwrap();
        let (mut near, far) = (Channel::new(near), Channel::new(far));
        far.send(Report::Started(9));
        far.send(Report::Gone);
        drop(far);
        assert!(matches!(near.receive().unwrap(), Received::Message(Report::Started(9))));
        assert!(matches!(near.receive().unwrap(), Received::Message(Report::Gone)));
        assert!(matches!(near.receive::<Report>().unwrap(), Received::End));
    }
}
