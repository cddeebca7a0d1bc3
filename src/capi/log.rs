//! A `tracing` subscriber that passes the library's events to the caller's log functions.

use std::fmt::{Debug, Write};
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::callbacks;
use super::options::elector_log_level;

/// Sets the subscriber. A program in Rust that has set one already keeps it.
pub(super) fn listen() {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| drop(tracing::subscriber::set_global_default(Lines)));
}

struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::DEBUG && metadata.target().starts_with("elector")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        callbacks::log(level(event.metadata().level()) as i32, line.message + &line.fields);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn level(level: &Level) -> elector_log_level {
    match *level {
        Level::ERROR => elector_log_level::Error,
        Level::WARN => elector_log_level::Warn,
        Level::INFO => elector_log_level::Info,
        _ => elector_log_level::Debug,
    }
}

/// One event as text: "message name=value name=value".
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
        written.expect("a string takes everything");
    }
}
