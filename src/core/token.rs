//! The fencing token.

use ::core::fmt;
use ::core::num::NonZeroU64;

/// The number of one term; the tokens of one election only grow (Promise T).
///
/// A resource that remembers the largest token it has seen, and refuses smaller tokens, is protected from a
/// leader that was replaced and does not know it yet. The range is 1 to 2⁵³ − 1, so that every language
/// holds a token exactly, JavaScript's `number` included. The stores draw it as
/// `max(previous + 1, microseconds since 1970)`, which reaches the limit in the year 2255.
///
/// Source of the idea: C. Gray and D. Cheriton, "Leases", SOSP 1989; M. Burrows, "The Chubby lock service",
/// OSDI 2006, where the token is called a sequencer.
///
/// ```
/// use elector::core::FencingToken;
///
/// let old = FencingToken::new(41).unwrap();
/// assert!(old < FencingToken::new(42).unwrap());
/// assert_eq!(FencingToken::new(0), None);
/// assert_eq!(FencingToken::new(1 << 53), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct FencingToken(NonZeroU64);

impl FencingToken {
    /// The largest token, 2⁵³ − 1.
    pub const MAX: FencingToken = FencingToken(NonZeroU64::new((1 << 53) - 1).unwrap());

    /// The token with this value, or `None` outside 1 to 2⁵³ − 1.
    #[must_use]
    pub const fn new(value: u64) -> Option<FencingToken> {
        match NonZeroU64::new(value) {
            Some(value) if value.get() < 1 << 53 => Some(FencingToken(value)),
            _ => None,
        }
    }

    /// The token as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The next larger token, or `None` at the limit: a token never wraps.
    #[must_use]
    pub const fn next(self) -> Option<FencingToken> {
        FencingToken::new(self.get() + 1)
    }
}

impl fmt::Debug for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.get())
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl From<FencingToken> for u64 {
    fn from(token: FencingToken) -> u64 {
        token.get()
    }
}

impl TryFrom<u64> for FencingToken {
    type Error = InvalidToken;

    fn try_from(value: u64) -> Result<FencingToken, InvalidToken> {
        FencingToken::new(value).ok_or(InvalidToken(value))
    }
}

/// A number outside the range of fencing tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidToken(u64);

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a fencing token: give a whole number from 1 to {}", self.0, FencingToken::MAX)
    }
}

impl ::core::error::Error for InvalidToken {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_wraps() {
        assert_eq!(FencingToken::MAX.next(), None);
        assert_eq!(FencingToken::new(7).unwrap().next(), FencingToken::new(8));
        assert_eq!(FencingToken::try_from(u64::MAX).unwrap_err().0, u64::MAX);
    }
}
