//! Names of elections and of candidates.

use ::core::fmt;
use ::core::ops::Deref;
use alloc::sync::Arc;

/// The name of an election or of a candidate: 1 to 255 bytes of UTF-8 without NUL.
///
/// Cheap to clone (a counted reference).
///
/// ```
/// use elector::core::Name;
///
/// assert_eq!(&*Name::new("election", "nightly").unwrap(), "nightly");
/// assert!(Name::new("election", "").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Name(Arc<str>);

impl Name {
    /// Maximum length of a name, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Maximum length of a text that is stored beside a name, such as `meta`, in bytes. It is bounded because
    /// the store sends the text with every look at the row.
    pub const MAX_TEXT_BYTES: usize = 65_536;

    /// Checks `name`. The error uses `what` for the name's purpose: "election" or "candidate".
    ///
    /// # Errors
    /// When the name is empty, longer than [`Name::MAX_BYTES`] or holds a NUL.
    pub fn new(what: &'static str, name: &str) -> Result<Name, InvalidName> {
        let problem = if name.is_empty() {
            Problem::Empty
        } else if name.len() > Name::MAX_BYTES {
            Problem::TooLong(name.len())
        } else if let Some(at) = name.bytes().position(|byte| byte == 0) {
            Problem::Nul(at)
        } else {
            return Ok(Name(name.into()));
        };
        Err(InvalidName { what, problem })
    }

    /// Checks a text that is stored beside a name, such as a candidate's `meta`. It may be empty. The error
    /// uses `what` for the text's purpose.
    ///
    /// # Errors
    /// When the text is longer than [`Name::MAX_TEXT_BYTES`] or holds a NUL. PostgreSQL cannot store a NUL,
    /// and would refuse the whole batch because of it.
    pub fn check_text(what: &'static str, text: &str) -> Result<(), InvalidName> {
        let problem = if text.len() > Name::MAX_TEXT_BYTES {
            Problem::TextTooLong(text.len())
        } else if let Some(at) = text.bytes().position(|byte| byte == 0) {
            Problem::NulInText(at)
        } else {
            return Ok(());
        };
        Err(InvalidName { what, problem })
    }

    /// The name as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// Why a string is not a valid [`Name`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidName {
    what: &'static str,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Empty,
    TooLong(usize),
    Nul(usize),
    TextTooLong(usize),
    NulInText(usize),
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.what;
        match self.problem {
            Problem::Empty => write!(f, "the {what} name is empty; give it 1 to {} bytes", Name::MAX_BYTES),
            Problem::TooLong(found) => {
                write!(f, "the {what} name has {found} bytes; at most {} are allowed", Name::MAX_BYTES)
            }
            Problem::Nul(at) => write!(f, "the {what} name has a NUL at byte {at}; remove it"),
            Problem::TextTooLong(found) => {
                write!(f, "the {what} has {found} bytes; at most {} are allowed", Name::MAX_TEXT_BYTES)
            }
            Problem::NulInText(at) => write!(f, "the {what} has a NUL at byte {at}; remove it"),
        }
    }
}

impl ::core::error::Error for InvalidName {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn each_refusal_says_what_was_found() {
        let refusal = |name: &str| Name::new("election", name).unwrap_err().to_string();
        assert_eq!(refusal(""), "the election name is empty; give it 1 to 255 bytes");
        assert_eq!(refusal(&"é".repeat(128)), "the election name has 256 bytes; at most 255 are allowed");
        assert_eq!(refusal("a\0b"), "the election name has a NUL at byte 1; remove it");
        assert!(Name::new("election", &"x".repeat(255)).is_ok());
        let refusal = Name::check_text("meta text", "a\0b").unwrap_err().to_string();
        assert_eq!(refusal, "the meta text has a NUL at byte 1; remove it");
        let refusal = Name::check_text("meta text", &"é".repeat(32_769)).unwrap_err().to_string();
        assert_eq!(refusal, "the meta text has 65538 bytes; at most 65536 are allowed");
        assert!(Name::check_text("meta text", &"é".repeat(32_768)).is_ok());
        assert!(Name::check_text("meta text", "").is_ok());
    }
}
