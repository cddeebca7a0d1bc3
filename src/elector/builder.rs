//! [`Builder`]: the settings of an elector.

use std::time::Duration;

use crate::core::lease::Config;
use crate::core::{Name, TimingOptions};
use crate::driver::host::random;
use crate::driver::hub;
use crate::driver::stores::url::{InvalidUrl, StoreUrl};
use crate::elector::Elector;
use crate::elector::error::Error;

impl Elector {
    /// A builder for a candidate of `election`, whose name has 1 to 255 bytes.
    pub fn builder(election: impl Into<String>) -> Builder {
        Builder {
            election: election.into(),
            store: None,
            candidate: None,
            meta: None,
            timing: TimingOptions::default(),
            drain: None,
            strict: false,
            progress_gate: false,
        }
    }
}

/// The settings of an [`Elector`], made by [`Elector::builder`]. All have defaults.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `build`"]
pub struct Builder {
    election: String,
    store: Option<Result<StoreUrl, InvalidUrl>>,
    candidate: Option<String>,
    meta: Option<String>,
    timing: TimingOptions,
    drain: Option<Duration>,
    strict: bool,
    progress_gate: bool,
}

impl Builder {
    /// The store of the leases: `postgres://…`, `sqlite:PATH` or `memory:NAME` ([`StoreUrl`]). Default:
    /// `$ELECTOR_STORE`, else a SQLite file in the user's state directory ([`StoreUrl::default_store`]).
    /// Candidates of one election exclude each other only if all of them use the same store.
    pub fn store(mut self, url: impl AsRef<str>) -> Builder {
        self.store = Some(StoreUrl::parse(url.as_ref()));
        self
    }

    /// The store of the leases, as a parsed URL.
    pub fn store_url(mut self, url: StoreUrl) -> Builder {
        self.store = Some(Ok(url));
        self
    }

    /// The candidate's name for logs and listings, 1 to 255 bytes. Default: `host-pid`. Two candidates may
    /// share a name: a random number distinguishes them.
    pub fn candidate(mut self, name: impl Into<String>) -> Builder {
        self.candidate = Some(name.into());
        self
    }

    /// A text that other processes can read while this candidate leads, such as an address or a version. At
    /// most 64 KiB, without NUL. Default: none.
    pub fn meta(mut self, text: impl Into<String>) -> Builder {
        self.meta = Some(text.into());
        self
    }

    /// The length of the lease, 100 ms to 24 h ([`TimingOptions::lease`]). Default: 10 s. Too short, and a
    /// slow store ends terms; too long, and a take-over after a crash takes that long.
    pub fn lease(mut self, lease: Duration) -> Builder {
        self.timing.lease = Some(lease);
        self
    }

    /// The longest time from one renewal to the next ([`TimingOptions::renew`]). Default: 30 % of the lease.
    /// Too long, and few renewals can fail before the term ends.
    pub fn renew(mut self, renew: Duration) -> Builder {
        self.timing.renew = Some(renew);
        self
    }

    /// How much earlier than `renew` a renewal may be sent, at random ([`TimingOptions::jitter`]). Default:
    /// 20 % of the lease. Zero, and processes that started together send their operations together.
    pub fn jitter(mut self, jitter: Duration) -> Builder {
        self.timing.jitter = Some(jitter);
        self
    }

    /// The pause after an operation that failed at once, at least 10 ms ([`TimingOptions::retry`]). Default:
    /// 5 % of the lease. Too short, and many candidates burden a failing store; too long, and few attempts
    /// fit before the term ends.
    pub fn retry(mut self, retry: Duration) -> Builder {
        self.timing.retry = Some(retry);
        self
    }

    /// How much earlier than necessary the holder stops trusting its lease, at least 1 ms
    /// ([`TimingOptions::margin`]). Default: the larger of 250 ms and a fifteenth of the lease. Too short,
    /// and a pause between reading the clock and acting, or a forward step of the store's clock, makes two
    /// leaders possible.
    pub fn margin(mut self, margin: Duration) -> Builder {
        self.timing.margin = Some(margin);
        self
    }

    /// How long before the hard deadline new work must stop ([`TimingOptions::grace`]). Default: a tenth of
    /// the lease. Too short, and work that cannot be interrupted continues after the hard deadline, when
    /// another candidate may lead.
    pub fn grace(mut self, grace: Duration) -> Builder {
        self.timing.grace = Some(grace);
        self
    }

    /// Sets all timings at once.
    pub fn timing(mut self, timing: TimingOptions) -> Builder {
        self.timing = timing;
        self
    }

    /// How long the lease is renewed at most, after [`Elector::drain`], for work of
    /// [`Elector::run_as_leader`]. Default: half a lease. Work that has not returned by then keeps the rest
    /// of the lease, and is dropped at the soft deadline.
    pub fn drain(mut self, drain: Duration) -> Builder {
        self.drain = Some(drain);
        self
    }

    /// Takes over only a row that has not changed for a full lease by this candidate's own clock
    /// ([`Config::strict`]). That protects against forward steps of the store's clock that this candidate has
    /// not seen and against commits that a promoted standby has lost; each change of leader takes one lease
    /// longer. Default: off. All candidates of an election should use it.
    pub fn strict(mut self) -> Builder {
        self.strict = true;
        self
    }

    /// Campaigns and renews only while [`Elector::alive`] is called at least once in each half lease, so that
    /// a hanging host loses its term. Default: off. Without the calls no term begins or lasts.
    pub fn progress_gate(mut self) -> Builder {
        self.progress_gate = true;
        self
    }

    /// Checks all settings and makes the elector. Does no I/O to the store, which the first campaign or
    /// [`Elector::connect`] opens.
    ///
    /// # Errors
    /// When a name, the meta text, a timing or the store's URL is invalid ([`Error::is_invalid_input`]); when
    /// no thread can be started; or when the system has no random number, which distinguishes candidates
    /// ([`Error::is_no_random`]).
    pub fn build(self) -> Result<Elector, Error> {
        let url = self.store.unwrap_or_else(StoreUrl::default_store)?;
        let candidate = self.candidate.unwrap_or_else(default_candidate);
        Name::check_text("meta text", self.meta.as_deref().unwrap_or_default())?;
        let config = Config {
            election: Name::new("election", &self.election)?,
            candidate: Name::new("candidate", &candidate)?,
            incarnation: random::number().map_err(Error::no_random)?,
            meta: self.meta.map(Into::into),
            timing: self.timing.build()?,
            strict: self.strict,
            progress_gate: self.progress_gate,
            seed: random::jitter(),
        };
        let drain = self.drain.unwrap_or(config.timing.lease() / 2);
        let (hub, candidate) = hub::join(&url, config).map_err(Error::threads)?;
        Ok(Elector::new(candidate, hub, drain))
    }
}

/// The default name `host-pid`, which leads an operator to the process.
fn default_candidate() -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let host = host.filter(|name| !name.is_empty()).unwrap_or_else(|| "host".to_owned());
    format!("{host}-{}", std::process::id())
}
