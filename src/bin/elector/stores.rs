//! From options to stores and electors, and their errors to exit codes.

use std::sync::Arc;

use elector::Elector;
use elector::core::Name;
use elector::driver::stores::url::StoreUrl;
use elector::driver::stores::{IfMissing, Store};

use crate::exit::Failure;
use crate::options::{RunOptions, StoreOption};
use crate::output;

/// The URL of the store: `--store`, else `$ELECTOR_STORE`, else the default.
pub fn url(option: &StoreOption) -> Result<StoreUrl, Failure> {
    match &option.url {
        Some(url) => StoreUrl::parse(url).map_err(Failure::usage),
        None => StoreUrl::default_store().map_err(Failure::usage),
    }
}

/// Opens a store for a single command.
fn open(url: &StoreUrl) -> Result<Box<dyn Store>, Failure> {
    url.open(Arc::new(|_| {})).map_err(Failure::store)
}

/// Opens the store so that its table is made or completed.
pub fn migrate(option: &StoreOption) -> Result<StoreUrl, Failure> {
    let url = url(option)?.if_missing(IfMissing::Create);
    open(&url).map(|_| url)
}

/// Opens the store without creating a file or a table: a query must not change the store.
pub fn open_existing(option: &StoreOption) -> Result<(Box<dyn Store>, StoreUrl), Failure> {
    let url = url(option)?.if_missing(IfMissing::Leave);
    warn_of_memory(&url, "leases of other processes are not shown");
    let store = open(&url)?;
    Ok((store, url))
}

/// Warns that a store in memory is not shared with other processes.
pub fn warn_of_memory(url: &StoreUrl, consequence: &str) {
    if url.to_string().starts_with("memory:") {
        output::say(output::clean(&format!("{url} exists in this process alone: {consequence}")));
    }
}

/// The elector of `elector run`.
pub fn elector(options: &RunOptions, url: &StoreUrl, candidate: &Name) -> Result<Elector, Failure> {
    if !options.quiet {
        warn_of_memory(url, "candidates in other processes lead at the same time");
    }
    let mut builder = Elector::builder(options.election.name.as_str())
        .store_url(url.clone())
        .candidate(candidate.as_str())
        .timing(options.timing.options())
        // See `Run::next`.
        .progress_gate();
    if let Some(meta) = &options.meta {
        builder = builder.meta(meta);
    }
    if options.strict {
        builder = builder.strict();
    }
    builder.build().map_err(refusal)
}

/// An elector's error with its exit code.
pub fn refusal(error: elector::Error) -> Failure {
    if error.is_invalid_input() {
        Failure::usage(error)
    } else if error.is_store() {
        Failure::store(error)
    } else {
        Failure::internal(error)
    }
}
