//! Transcripts of the lease machine: what it is told, and below `----` what it says.
//!
//! Each file of `tests/testdata/lease` is one property. `UPDATE=1 cargo test --test core` writes what
//! the machine says now into the files; read the difference before you keep it. The commands:
//!
//! ```text
//! config [lease=10s] [renew=3s] [jitter=0s] [retry=500ms] [margin=600ms] [grace=1s] [strict] [gate]
//! campaign | release | drain [for 5s] | drained | alive | hint [3s ago] | revoked | timeout [3s ago]
//! advance 3s              time passes, and each timeout is given when it is due
//! pause 3s                time passes and nothing is given
//! row none | row bob 9 for 4s | row bob 9 for 4s lease 60s      what the store would show from now on
//! store steps 5s | timeline 2                                   what happens to the store's clock
//! reply [to 3] granted 7 | seen | renewed | lost | released | failed unknown|unsent|refused
//! ```
//!
//! `me` as the holder of a row is this run of the candidate, `old-me` an earlier one, `nobody` a
//! released row.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use elector::core::lease::{
    Config, Event, Failure, Input, LeaderId, Leadership, Lease, Op, Outcome, Output, Phase, Reply, Request,
    RequestId, Row, StoreClock, Version, Wait,
};
use elector::core::{FencingToken, Instant, Name, StoreTime, TimingOptions};

#[test]
fn every_transcript_is_what_the_machine_says() {
    // Each file is played from its commands alone and compared with what is written in it.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/lease");
    let mut files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 20, "only {} transcripts", files.len());
    let mut wrong = String::new();
    for file in files {
        let written = std::fs::read_to_string(&file).unwrap();
        let said = play(&written);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, said).unwrap();
        } else if let Some((line, (written, said))) =
            (1..).zip(lines(&written).zip(lines(&said))).find(|(_, (written, said))| written != said)
        {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            writeln!(wrong, "{name}:{line}:\n  written: {written}\n  said:    {said}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}If that is right, run with UPDATE=1 and review the difference.");
}

/// The lines, and after them as many ends as are asked for.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().chain(std::iter::repeat("(end)")).take(10_000)
}

/// Plays the commands of a transcript and returns it with what was said.
fn play(transcript: &str) -> String {
    let mut stage = Stage::new("config");
    let mut out = String::new();
    for block in transcript.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        let commands = block.split("\n----").next().unwrap_or_default();
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(commands);
        out.push('\n');
        stage.said.clear();
        let mut silent = true;
        for command in commands.lines().filter(|line| !line.starts_with('#')) {
            silent = false;
            if command.starts_with("config") {
                stage = Stage::new(command);
            } else {
                stage.command(command);
            }
        }
        if !silent {
            stage.leadership();
            let _ = write!(out, "----\n{}", stage.said);
        }
    }
    out
}

/// The machine with a clock, and the store that answers for whom the transcript says.
struct Stage {
    lease: Lease,
    now: Instant,
    wait: Wait,
    sent: RequestId,
    store_ahead_us: i64,
    timeline: u64,
    row: Option<Row>,
    said: String,
    said_at: Option<Instant>,
    said_leadership: Option<Leadership>,
}

impl Stage {
    fn new(config: &str) -> Stage {
        let mut options = TimingOptions {
            jitter: Some(Duration::ZERO),
            margin: Some(Duration::from_millis(600)),
            ..TimingOptions::default()
        };
        let (mut strict, mut gate) = (false, false);
        for word in config.split_whitespace().skip(1) {
            match word.split_once('=') {
                Some(("lease", text)) => options.lease = Some(duration(text)),
                Some(("renew", text)) => options.renew = Some(duration(text)),
                Some(("jitter", text)) => options.jitter = Some(duration(text)),
                Some(("retry", text)) => options.retry = Some(duration(text)),
                Some(("margin", text)) => options.margin = Some(duration(text)),
                Some(("grace", text)) => options.grace = Some(duration(text)),
                None if word == "strict" => strict = true,
                None if word == "gate" => gate = true,
                _ => panic!("config knows no {word:?}"),
            }
        }
        let config = Config {
            election: Name::new("election", "nightly").unwrap(),
            candidate: Name::new("candidate", "alice").unwrap(),
            incarnation: 1,
            meta: None,
            timing: options.build().unwrap(),
            strict,
            progress_gate: gate,
            seed: 1,
        };
        Stage {
            lease: Lease::new(config, Instant::ZERO),
            now: Instant::ZERO,
            wait: Wait::NEVER,
            sent: RequestId(0),
            store_ahead_us: 1_000_000_000,
            timeline: 1,
            row: None,
            said: String::new(),
            said_at: None,
            said_leadership: None,
        }
    }

    fn command(&mut self, command: &str) {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["campaign"] => self.tell(self.now, Input::Campaign),
            ["release"] => self.tell(self.now, Input::Release),
            ["drain"] => self.tell(self.now, Input::Drain),
            ["drain", "for", patience] => self.tell(self.now, Input::DrainFor(duration(patience))),
            ["drained"] => self.tell(self.now, Input::Drained),
            ["alive"] => self.tell(self.now, Input::Alive),
            ["hint"] => self.tell(self.now, Input::Hint),
            ["revoked"] => self.tell(self.now, Input::Revoked),
            ["timeout"] => self.tell(self.now, Input::Timeout),
            ["timeout", ago, "ago"] => self.tell(self.now.saturating_sub(duration(ago)), Input::Timeout),
            ["hint", ago, "ago"] => self.tell(self.now.saturating_sub(duration(ago)), Input::Hint),
            ["advance", by] => self.advance(duration(by)),
            ["pause", by] => self.now = self.now.saturating_add(duration(by)),
            ["row", "none"] => self.row = None,
            ["row", holder, token, "for", left] => self.set_row(holder, token, left, "10s"),
            ["row", holder, token, "for", left, "lease", lease] => self.set_row(holder, token, left, lease),
            ["store", "steps", by] => self.store_ahead_us += signed_micros(by),
            ["timeline", number] => self.timeline = number.parse().unwrap(),
            ["reply", "to", id, ref what @ ..] => self.reply(RequestId(id.parse().unwrap()), what),
            ["reply", ref what @ ..] => self.reply(self.sent, what),
            _ => panic!("unknown command {command:?}"),
        }
    }

    fn advance(&mut self, by: Duration) {
        let end = self.now.saturating_add(by);
        while self.wait.latest <= end {
            self.now = self.wait.latest;
            self.tell(self.now, Input::Timeout);
            self.leadership();
        }
        self.now = end;
    }

    fn store_now(&self) -> StoreTime {
        StoreTime::from_micros((self.now.as_nanos() / 1_000) as i64 + self.store_ahead_us)
    }

    fn set_row(&mut self, holder: &str, token: &str, left: &str, lease: &str) {
        let id = |name, number| LeaderId::new(&Name::new("candidate", name).unwrap(), number);
        self.row = Some(Row {
            holder: match holder {
                "nobody" => None,
                "me" => Some(id("alice", 1)),
                "old-me" => Some(id("alice", 2)),
                name => Some(id(name, 3)),
            },
            token: FencingToken::new(token.parse().unwrap()),
            expires_at: self.store_now().saturating_add(duration(left)),
            remaining: Duration::ZERO,
            lease: Some(duration(lease)),
            meta: None,
        });
    }

    fn reply(&mut self, id: RequestId, what: &[&str]) {
        let (now, failed) = (self.store_now(), what[0] == "failed");
        let outcome = match what {
            ["granted", token] => {
                Outcome::Granted { token: FencingToken::new(token.parse().unwrap()).unwrap() }
            }
            ["seen"] => Outcome::Seen(self.row.clone().map(|row| {
                let remaining = row.expires_at.saturating_since(now);
                Row { remaining, ..row }
            })),
            ["renewed"] => Outcome::Renewed,
            ["lost"] => Outcome::Lost,
            ["released"] => Outcome::Released,
            ["failed", "unknown"] => Outcome::Failed(Failure::Unknown),
            ["failed", "unsent"] => Outcome::Failed(Failure::Unsent),
            ["failed", "refused"] => Outcome::Failed(Failure::Refused),
            _ => panic!("unknown reply {what:?}"),
        };
        let clock = (!failed).then_some(StoreClock { now, timeline: self.timeline });
        self.tell(self.now, Input::Reply(Reply { id, clock, outcome }));
    }

    fn tell(&mut self, now: Instant, input: Input) {
        let settlements = self.lease.settlements();
        self.lease.handle_input(now, input);
        if self.lease.settlements() > settlements {
            self.say("~ nothing from before is held");
        }
        loop {
            match self.lease.poll_output() {
                Output::Send(request) => {
                    self.sent = request.id;
                    self.say(&request_text(&request));
                }
                Output::Event(event) => self.say(&event_text(&event)),
                Output::WaitUntil(wait) => {
                    if wait != self.wait {
                        self.wait = wait;
                        self.say(&wait_text(wait));
                    }
                    return;
                }
            }
        }
    }

    fn say(&mut self, line: &str) {
        if self.said_at != Some(self.now) || self.said.is_empty() {
            let _ = writeln!(self.said, "{}", time(self.now));
            self.said_at = Some(self.now);
        }
        let _ = writeln!(self.said, "  {line}");
    }

    /// Says whether the candidate leads now, if that is news.
    fn leadership(&mut self) {
        let says = self.lease.leadership(self.now);
        if self.said_leadership == Some(says) {
            return;
        }
        self.said_leadership = Some(says);
        let (stop, end) = (time(says.work_until), time(says.trusted_until));
        let line = match (says.phase, says.is_leader, says.token) {
            (Phase::Leader, true, Some(token)) => {
                format!("= leads #{token}, starts work until {stop}, trusts until {end}")
            }
            (Phase::Draining, false, Some(token)) => format!("= drains #{token}, trusts until {end}"),
            (phase, false, None) => format!("= does not lead ({phase:?})"),
            odd => format!("= {odd:?}"),
        };
        self.say(&line);
    }
}

fn request_text(request: &Request) -> String {
    let Request { id, deadline, op } = request;
    let what = match op {
        Op::Look => "look".into(),
        Op::Acquire(acquire) => match acquire.unchanged {
            None => "acquire".into(),
            Some(Version::Absent) => "acquire if still absent".into(),
            Some(Version::Row { token, .. }) => format!("acquire if still {token:?}"),
        },
        Op::Renew { token, .. } => format!("renew #{token}"),
        Op::Release { token, .. } => format!("release #{token}"),
    };
    format!("> {} {what}, gives up at {}", id.0, time(*deadline))
}

fn event_text(event: &Event) -> String {
    match event {
        Event::Elected { token } => format!("! elected #{token}"),
        Event::Renewed { token } => format!("! renewed #{token}"),
        Event::AtRisk { token } => format!("! at risk #{token}"),
        Event::StopNewWork { token } => format!("! stop new work #{token}"),
        Event::Deposed { token, reason } => format!("! deposed #{token}: {}", reason.name()),
        Event::LeaderChanged { leader: Some(leader) } => format!("! {} leads", leader.id),
        Event::LeaderChanged { leader: None } => "! nobody leads".into(),
        other => format!("! {other:?}"),
    }
}

fn wait_text(wait: Wait) -> String {
    match (wait.earliest, wait.latest) {
        (Instant::MAX, _) => "wait for ever".into(),
        (earliest, latest) if earliest == latest => format!("wait until {}", time(latest)),
        (earliest, latest) => format!("wait until {} to {}", time(earliest), time(latest)),
    }
}

fn time(at: Instant) -> String {
    if at == Instant::MAX {
        return "never".into();
    }
    format!("{}.{:03}s", at.as_nanos() / 1_000_000_000, at.as_nanos() / 1_000_000 % 1_000)
}

fn duration(text: &str) -> Duration {
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text:?} is no duration"));
    match text.strip_suffix("ms") {
        Some(text) => Duration::from_millis(number(text)),
        None => Duration::from_secs(number(text.strip_suffix('s').unwrap_or("a duration without unit"))),
    }
}

fn signed_micros(text: &str) -> i64 {
    let micros = |text| duration(text).as_micros() as i64;
    text.strip_prefix('-').map_or_else(|| micros(text), |text| -micros(text))
}
