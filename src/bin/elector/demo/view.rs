//! The demo's timeline: a line per event, and in a terminal below them one moving lane per candidate.

use std::io::{self, IsTerminal};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use elector::core::Instant;
use elector::driver::clock;

use crate::output::{BOLD, Colour, DIM, GREEN, RED};
use crate::printer::STDOUT;

/// A stopped candidate.
pub const YELLOW: Style = AnsiColor::Yellow.on_default();
/// What one character of a lane stands for.
const CELL: Duration = Duration::from_millis(100);
const NAME: usize = 7;
/// How often the lanes move.
const FRAME: Duration = Duration::from_millis(50);

/// What a candidate does, as its lane shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its process does not run.
    Down,
    /// It campaigns and does not lead.
    Standing,
    /// It leads.
    Leading,
    /// Stopped by SIGSTOP.
    Stopped,
}

/// The timeline.
pub struct View {
    start: Instant,
    names: Vec<&'static str>,
    /// For each candidate, its states and since when it had each.
    lanes: Vec<Vec<(Instant, State)>>,
    live: bool,
    unicode: bool,
    colour: Colour,
    drawn: usize,
    drawn_at: Instant,
}

impl View {
    /// An empty timeline that begins now.
    pub fn new(names: &[&'static str]) -> View {
        let utf8 = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = utf8("LC_ALL").or_else(|| utf8("LC_CTYPE")).or_else(|| utf8("LANG")).unwrap_or_default();
        let locale = locale.to_lowercase();
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let view = View {
            start: clock::now(),
            names: names.to_vec(),
            lanes: vec![Vec::new(); names.len()],
            live: io::stdout().is_terminal() && !dumb,
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
            colour: Colour::of_stdout(),
            drawn: 0,
            drawn_at: Instant::ZERO,
        };
        if view.live {
            print_now("\x1b[?25l");
        }
        view
    }

    /// Prints what happened to the candidate `who` at `at`.
    pub fn tell(&mut self, at: Instant, who: Option<usize>, style: Style, text: &str) {
        self.erase();
        let name = who.map_or("", |who| self.names[who]);
        let seconds = at.saturating_since(self.start).as_secs_f64();
        let time = self.colour.paint(DIM, format!("{seconds:>7.3} s"));
        let name = self.colour.paint(BOLD, format!("{name:<NAME$}"));
        let text = self.colour.paint(style, text);
        print_now(&format!("{time}  {name} {text}\n"));
        self.draw();
    }

    /// Changes a lane.
    pub fn set(&mut self, who: usize, state: State) {
        self.lanes[who].push((clock::now(), state));
        self.draw();
    }

    /// What a candidate does.
    pub fn state(&self, who: usize) -> State {
        self.lanes[who].last().map_or(State::Down, |(_, state)| *state)
    }

    /// Redraws the lanes when it is time to.
    pub fn refresh(&mut self) {
        if clock::now().saturating_since(self.drawn_at) >= FRAME {
            self.draw();
        }
    }

    /// Redraws the lanes, in a terminal.
    pub fn draw(&mut self) {
        if !self.live {
            return;
        }
        let width = usize::from(columns()).saturating_sub(NAME + 4).clamp(10, 200);
        let now = clock::now();
        self.drawn_at = now;
        let mut text = String::from("\n");
        for (who, name) in self.names.iter().enumerate() {
            text.push_str(&format!("\x1b[2K  {name:<NAME$} {}\n", self.lane(who, now, width)));
        }
        self.erase();
        print_now(&text);
        self.drawn = self.names.len() + 1;
    }

    /// The last `width` cells until `now`.
    fn lane(&self, who: usize, now: Instant, width: usize) -> String {
        let cell = CELL.as_nanos() as u64;
        // Cells begin at multiples of their length, so that what is drawn does not flicker when it moves.
        let first_of_all = self.start.as_nanos() / cell;
        let last = now.as_nanos() / cell;
        let first = last.saturating_sub(width as u64 - 1).max(first_of_all);
        let mut text = String::new();
        let mut before = None;
        for number in first..=last {
            let end = Instant::from_nanos((number + 1) * cell);
            let state = self.at(who, end);
            let (style, glyph) = match state {
                State::Leading => (GREEN, if self.unicode { "█" } else { "#" }),
                State::Standing => (DIM, if self.unicode { "·" } else { "." }),
                State::Stopped => (YELLOW, if self.unicode { "▒" } else { "=" }),
                State::Down if before.is_some_and(|state| state != State::Down) => {
                    (RED, if self.unicode { "✗" } else { "x" })
                }
                State::Down => (DIM, " "),
            };
            text.push_str(&self.colour.paint(style, glyph));
            before = Some(state);
        }
        text
    }

    fn at(&self, who: usize, at: Instant) -> State {
        let past = self.lanes[who].iter().rev().find(|(from, _)| *from < at);
        past.map_or(State::Down, |(_, state)| *state)
    }

    fn erase(&mut self) {
        if self.drawn > 0 {
            print_now(&format!("\x1b[{}A\x1b[J", self.drawn));
            self.drawn = 0;
        }
    }

    /// Stops drawing; later output is printed below the lanes.
    pub fn close(&mut self) {
        if std::mem::take(&mut self.live) {
            print_now("\x1b[?25h");
        }
        self.drawn = 0;
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.close();
    }
}

/// Prints without blocking or failing: the demo must end its processes whatever the reader does.
pub fn print_now(text: &str) {
    STDOUT.print(text.to_owned());
}

fn columns() -> u16 {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the call fills in `size`, which is what TIOCGWINSZ is documented to take.
    let known = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size) } == 0;
    if known && size.ws_col > 0 { size.ws_col } else { 80 }
}
