//! Databases whose encoding lacks characters, and texts of other programs that are too long: what cannot be
//! kept is refused at once and does no harm to others.

use std::process::Command;
use std::time::Duration;

use elector::Elector;

use crate::leading::{lead, leading};
use elector_kit::cluster::{Release, fresh_database};
use elector_kit::session::Session;
use elector_kit::waiting;

elector_kit::on_each_release! {
    a_text_that_the_encoding_lacks_is_refused_at_once_and_names_it
    a_text_that_the_encoding_lacks_fails_nothing_but_its_own_election
    an_encoding_that_lacks_nothing_takes_every_text
    a_meta_text_of_another_program_that_is_too_long_is_not_sent_with_each_look
}

/// A database on the same server, in this encoding.
fn database(release: Release, encoding: &str) -> String {
    let url = fresh_database(release);
    let session = Session::open(&url);
    let name = format!("{}_{}", session.one("SELECT current_database()"), encoding.to_lowercase());
    session.run(&format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'"));
    url.replace(&session.one("SELECT current_database()"), &name)
}

fn candidate(url: &str, texts: [&str; 3]) -> Elector {
    let [election, name, meta] = texts;
    let builder = Elector::builder(election).store(url).candidate(name).meta(meta);
    builder.lease(Duration::from_secs(300)).build().unwrap()
}

/// The command's exit code and what it says.
fn elector(url: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elector"));
    let output = command.args(arguments).env("ELECTOR_STORE", url).output().expect("the program starts");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.code(), said.trim_end().to_owned())
}

fn a_text_that_the_encoding_lacks_is_refused_at_once_and_names_it(release: Release) {
    for (encoding, lacking, held) in [("LATIN1", "лидер", "dirigé"), ("WIN1251", "指導者", "лидер")]
    {
        let url = database(release, encoding);
        for (at, what) in ["election", "candidate", "meta text"].into_iter().enumerate() {
            let mut texts = ["nightly"; 3];
            texts[at] = lacking;
            let error = candidate(&url, texts).connect(waiting::SOON).unwrap_err();
            let said = error.to_string();
            assert!(error.is_permanent() && !said.contains('\n'), "{said}");
            assert!(said.contains(encoding) && said.contains(&format!("the {what} {lacking:?}")), "{said}");
            let [election, name, meta] = texts;
            let run = ["run", "--election", election, "--candidate", name, "--meta", meta, "--", "true"];
            let (code, said) = elector(&url, &run);
            assert!(code == Some(69) && said.contains(encoding), "{code:?}: {said}");
        }
        for question in [&["status", "--election", lacking][..], &["break", "--yes", "--election", lacking]] {
            let (code, said) = elector(&url, question);
            assert!(code == Some(69) && said.contains(encoding), "{question:?}: {code:?}: {said}");
        }
        let leader = leading(candidate(&url, [held; 3]));
        let (code, said) = elector(&url, &["status", "--json"]);
        assert!(code == Some(0) && said.matches(&format!("\"{held}\"")).count() == 3, "{said}");
        leader.release_and_wait(waiting::SOON).unwrap();
    }
}

fn a_text_that_the_encoding_lacks_fails_nothing_but_its_own_election(release: Release) {
    let url = database(release, "LATIN1");
    let texts = |number: usize| match number % 8 {
        0 => [format!("лидер {number}"), "a".to_owned(), "b".to_owned()],
        1 => [format!("e{number}"), "лидер".to_owned(), "b".to_owned()],
        2 => [format!("e{number}"), "a".to_owned(), "лидер".to_owned()],
        3 => [format!("é{number}"), "ä".to_owned(), "ö".to_owned()],
        _ => [format!("e{number}"), "a".to_owned(), "b".to_owned()],
    };
    let elector = |number| {
        let [election, name, meta] = texts(number);
        candidate(&url, [&election, &name, &meta])
    };
    let all: Vec<Elector> = (0..64).map(elector).collect();
    all.iter().for_each(Elector::campaign);
    let (held, lacking): (Vec<_>, Vec<_>) = all.iter().enumerate().partition(|(number, _)| number % 8 > 2);
    held.iter().for_each(|(_, elector)| _ = lead(elector));
    assert!(lacking.iter().all(|(_, elector)| !elector.am_i_leader()));
    let rows = Session::open(&url).number("SELECT count(*) FROM leader_lease");
    assert_eq!(rows, held.len() as i64);
    let said = lacking[0].1.connect(waiting::SOON).unwrap_err().to_string();
    assert!(said.contains("LATIN1"), "{said}");
    held[0].1.connect(waiting::SOON).unwrap();
}

fn an_encoding_that_lacks_nothing_takes_every_text(release: Release) {
    for encoding in ["UTF8", "SQL_ASCII"] {
        let url = database(release, encoding);
        let leader = leading(candidate(&url, ["ночь 🌙", "лидер", "指導者"]));
        let (code, said) = elector(&url, &["status", "--json"]);
        assert!(code == Some(0), "{said}");
        assert!(["ночь 🌙", "лидер", "指導者"].iter().all(|text| said.contains(text)), "{said}");
        leader.release_and_wait(waiting::SOON).unwrap();
    }
}

/// Such a text would cost each look its time.
fn a_meta_text_of_another_program_that_is_too_long_is_not_sent_with_each_look(release: Release) {
    let url = fresh_database(release);
    let operator = Session::open(&url);
    let leader = leading(candidate(&url, ["nightly", "theirs", "text"]));
    for (length, shown) in [(65_536, 65_536), (65_537, 0), (40_000_000, 0)] {
        operator.run(&format!("UPDATE leader_lease SET meta = repeat('x', {length})"));
        let standby = candidate(&url, ["nightly", "ours", ""]);
        standby.campaign();
        waiting::wait_until("the leader is seen", || standby.leader().is_some());
        let seen = standby.leader().unwrap();
        assert_eq!(seen.id.candidate(), "theirs");
        assert_eq!(seen.meta.map_or(0, |meta| meta.len()), shown);
    }
    let (code, said) = elector(&url, &["status"]);
    assert!(code == Some(0) && said.contains("theirs") && said.len() < 1_000, "{code:?}");
    leader.release_and_wait(waiting::SOON).unwrap();
}
