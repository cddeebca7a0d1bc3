//! Finds texts that the database cannot keep, since its encoding lacks one of their characters. The server
//! would fail a whole batch because of one such text, so unknown texts are checked first. UTF8 lacks no
//! character, and SQL_ASCII accepts any byte.

use std::collections::HashMap;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::config::PostgresUrl;
use crate::core::lease::{Failure, Op};
use crate::core::sql::postgres::Table;
use crate::core::sql::postgres::judged::encoding_lacks;
use crate::core::sql::sqlstate;
use crate::driver::stores::{Job, StoreError};

/// Maximum number of remembered texts.
const MOST_KNOWN: usize = 20_000;

/// A text with its kind ("election", "candidate", "meta text").
pub(super) type TextRef<'a> = (&'static str, &'a str);

/// A database's encoding, with the texts of which it is known whether it has all their characters.
pub(super) struct Encoding {
    /// `None` if the encoding lacks no character.
    name: Option<String>,
    known: HashMap<String, bool>,
}

impl Encoding {
    /// `name` is that of an encoding that lacks characters.
    pub(super) fn new(name: Option<String>) -> Encoding {
        Encoding { name, known: HashMap::new() }
    }

    /// Asks the server about the unknown texts: all of them at once, then each half of a set that fails,
    /// until the texts that it cannot keep are found.
    pub(super) async fn learn<'a>(
        &mut self,
        client: &Client,
        texts: impl Iterator<Item = TextRef<'a>>,
    ) -> Result<(), Error> {
        if self.name.is_none() {
            return Ok(());
        }
        if self.known.len() > MOST_KNOWN {
            self.known.clear();
        }
        let is_new = |(_, text): &TextRef<'_>| !text.is_ascii() && !self.known.contains_key(*text);
        let mut new: Vec<String> = texts.filter(is_new).map(|(_, text)| text.to_owned()).collect();
        new.sort_unstable();
        new.dedup();
        let mut open = vec![new];
        while let Some(mut texts) = open.pop().filter(|texts| !texts.is_empty()) {
            let bytes: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
            let holds = match client.query_typed(Table::KEEPS, &[(&bytes, Type::BYTEA_ARRAY)]).await {
                Ok(_) => true,
                Err(error) if error.code().is_some_and(|code| sqlstate::lacks_character(code.code())) => {
                    false
                }
                Err(error) => return Err(error),
            };
            if holds || texts.len() == 1 {
                self.known.extend(texts.into_iter().map(|text| (text, holds)));
            } else {
                let rest = texts.split_off(texts.len() / 2);
                open.extend([texts, rest]);
            }
        }
        Ok(())
    }

    /// An error if one of the texts is known to be impossible to keep.
    pub(super) fn check<'a>(
        &self,
        url: &PostgresUrl,
        mut texts: impl Iterator<Item = TextRef<'a>>,
    ) -> Result<(), StoreError> {
        let Some(name) = &self.name else { return Ok(()) };
        match texts.find(|(_, text)| self.known.get(*text) == Some(&false)) {
            None => Ok(()),
            Some((what, text)) => {
                let message = format!("{url}: {}", encoding_lacks(name, what, text));
                Err(StoreError::new(Failure::Refused, message))
            }
        }
    }
}

/// The texts of a job that go to the server.
pub(super) fn texts_of(job: &Job) -> impl Iterator<Item = TextRef<'_>> {
    let (holder, meta) = match &job.request.op {
        Op::Look => (None, None),
        Op::Acquire(acquire) => (Some(&acquire.holder), acquire.meta.as_deref()),
        Op::Renew { holder, .. } | Op::Release { holder, .. } => (Some(holder), None),
    };
    let candidate = holder.map(|holder| ("candidate", holder.candidate()));
    let meta = meta.map(|meta| ("meta text", meta));
    [Some(("election", job.election.as_str())), candidate, meta].into_iter().flatten()
}
