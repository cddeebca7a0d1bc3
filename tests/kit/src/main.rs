//! The kit for tests in other languages: each program is started, told what to do on its standard input, and
//! ends with it, so that it cannot outlive the test.
//!
//! ```text
//! elector-kit postgres [--release system|newest] [-c NAME=VALUE]…
//!     starts a PostgreSQL server and prints its URL; without arguments, prints ELECTOR_TEST_POSTGRES if that
//!     is set, and starts none
//! elector-kit proxy HOST:PORT
//!     passes TCP connections on and prints its own port; obeys the lines pass, delay MS, hold, swallow, cut,
//!     refuse and serve, and answers each with `done`
//! ```

use std::io::{BufRead, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.split_first() {
        #[cfg(unix)]
        Some((&"postgres", rest)) => postgres(rest),
        Some((&"proxy", [address])) => proxy(address),
        _ => {
            Err("usage: elector-kit postgres [--release system|newest] [-c NAME=VALUE]… | proxy HOST:PORT"
                .into())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("elector-kit: {error}");
            ExitCode::from(2)
        }
    }
}

/// Tells the parent what it waits for.
fn say(what: impl std::fmt::Display) {
    // A parent that has ended reads no more, and the end of the input follows.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{what}").and_then(|()| out.flush());
}

/// The lines of the input, until its end.
fn lines() -> impl Iterator<Item = String> {
    std::io::stdin().lock().lines().map_while(Result::ok)
}

#[cfg(unix)]
fn postgres(mut arguments: &[&str]) -> Result<(), String> {
    use elector_kit::cluster::{Cluster, Release};
    if let (true, Ok(given)) = (arguments.is_empty(), std::env::var("ELECTOR_TEST_POSTGRES")) {
        say(given);
        lines().for_each(drop);
        return Ok(());
    }
    let mut release = Release::System;
    let mut settings = Vec::new();
    while let [option, value, rest @ ..] = arguments {
        match (*option, *value) {
            ("--release", "system") => release = Release::System,
            ("--release", "newest") => release = Release::Newest,
            ("-c", setting) => {
                settings
                    .push(setting.split_once('=').ok_or_else(|| format!("-c {setting}: not NAME=VALUE"))?);
            }
            _ => return Err(format!("there is no {option} {value}")),
        }
        arguments = rest;
    }
    if let [left] = arguments {
        return Err(format!("{left} lacks its value, or there is no such option"));
    }
    let plan = settings.iter().fold(Cluster::plan(release), |plan, (name, value)| plan.set(name, value));
    let cluster = plan.start();
    say(cluster.url());
    lines().for_each(drop);
    Ok(())
}

fn proxy(address: &str) -> Result<(), String> {
    use elector_kit::proxy::{Proxy, Way};
    use std::time::Duration;
    let proxy = Proxy::to_address(address.to_owned());
    say(proxy.port());
    for line in lines() {
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("pass", "") => proxy.set(Way::Pass),
            ("hold", "") => proxy.set(Way::Hold),
            ("swallow", "") => proxy.set(Way::Swallow),
            ("cut", "") => proxy.cut(),
            ("refuse", "") => proxy.refuse(true),
            ("serve", "") => proxy.refuse(false),
            ("delay", ms) => {
                let ms = ms.parse().map_err(|_| format!("{line}: not a number of milliseconds"))?;
                proxy.set(Way::Delay(Duration::from_millis(ms)));
            }
            _ => return Err(format!("there is no {line:?}")),
        }
        // Only now does it hold for what the parent does next.
        say("done");
    }
    Ok(())
}
