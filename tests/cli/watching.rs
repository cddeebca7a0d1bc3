//! `elector watch` tells each change and makes nothing, whatever becomes of the files.

use super::*;

const FILES: [&str; 4] = ["e.db", "e.db-lock", "e.db-shm", "e.db-wal"];

/// `elector watch`, and its lines.
struct Watch {
    child: Child,
    lines: Box<dyn Iterator<Item = Value>>,
}

impl Watch {
    fn start(home: &Home) -> Watch {
        let mut watch = home.elector(&["watch", "-e", "n", "--store", "sqlite:e.db"]);
        let mut child = watch.stdout(Stdio::piped()).spawn().expect("elector watch");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        Watch { child, lines: Box::new(lines.map(|line| serde_json::from_str(&line).expect("JSON"))) }
    }

    fn ends_with_its_reader(mut self) -> bool {
        self.lines = Box::new(std::iter::empty());
        ended(&mut self.child).success()
    }

    fn next(&mut self) -> Value {
        self.lines.next().expect("a line")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn delete_all(home: &Home) {
    FILES.iter().for_each(|name| fs::remove_file(home.path().join(name)).expect(name));
}

/// `elector run` waits two seconds for the confirmation of its release. If that took longer, the scenario
/// proves nothing and is repeated.
fn until_released(scenario: impl Fn(&Home) -> bool) {
    assert!((0..10).any(|_| scenario(&Home::new())), "no release was confirmed in ten attempts");
}

#[test]
fn watch_tells_each_change_of_leader_once() {
    until_released(is_told_each_change_of_leader_once);
}

fn is_told_each_change_of_leader_once(home: &Home) -> bool {
    let mut watch = Watch::start(home);
    let nobody = watch.next();
    assert_eq!((&nobody["leader"], &nobody["token"]), (&Value::Null, &Value::Null));
    let mut leader = home.leader("n");
    let led = watch.next();
    assert_eq!((&led["event"], &led["leader"]["candidate"]), (&"leader_changed".into(), &"ann".into()));
    assert_eq!((&led["token"], &led["election"]), (&leader.elected["token"], &"n".into()));
    // The same line as that of the leader itself, which has its own name besides.
    let own = leader.lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("leader_changed")));
    let own: Value = serde_json::from_str(&own.expect("an event").expect("UTF-8")).expect("JSON");
    assert_eq!((&own["leader"], &own["token"]), (&led["leader"], &led["token"]));
    assert_eq!((&own["candidate"], &led["candidate"]), (&"ann".into(), &Value::Null));
    if !leader.releases(home) {
        return false;
    }
    let released = watch.next();
    assert_eq!((&released["leader"], &released["reason"]), (&Value::Null, &"released".into()));
    assert_eq!(released["token"], led["token"]);
    true
}

#[test]
fn watch_makes_no_file_before_there_is_one_nor_after_all_were_deleted() {
    until_released(no_file_is_made_before_there_is_one_nor_after_all_were_deleted);
}

fn no_file_is_made_before_there_is_one_nor_after_all_were_deleted(home: &Home) -> bool {
    let mut watch = Watch::start(home);
    assert_eq!(watch.next()["leader"], Value::Null);
    thread::sleep(Duration::from_millis(700));
    assert!(home.files().is_empty(), "{:?}", home.files());
    let mut leader = home.leader("n");
    assert_eq!(watch.next()["leader"]["candidate"], "ann");
    if !leader.releases(home) {
        return false;
    }
    assert_eq!(watch.next()["reason"], "released");
    // No candidate led before, and none leads now: that is no change.
    delete_all(home);
    thread::sleep(Duration::from_millis(1_200));
    assert!(home.files().is_empty(), "{:?}", home.files());
    let next = home.leader("n");
    assert_eq!(watch.next()["token"], next.elected["token"]);
    true
}

#[test]
fn watch_says_nothing_when_the_row_of_an_ended_term_is_removed_and_ends_with_its_reader() {
    until_released(nothing_is_said_of_the_removed_row_of_an_ended_term);
}

fn nothing_is_said_of_the_removed_row_of_an_ended_term(home: &Home) -> bool {
    let mut leader = home.leader("n");
    let mut watch = Watch::start(home);
    assert_eq!(watch.next()["token"], leader.elected["token"]);
    if !leader.releases(home) {
        return false;
    }
    assert_eq!(watch.next()["reason"], "released");
    // As candidates do with rows that ended over a minute ago.
    let database = rusqlite::Connection::open(home.path().join("e.db")).expect("the file");
    assert_eq!(database.execute("DELETE FROM leader_lease WHERE id = 'n'", []), Ok(1));
    thread::sleep(Duration::from_millis(1_200));
    let next = home.leader("n");
    assert_eq!(watch.next()["token"], next.elected["token"]);
    assert!(watch.ends_with_its_reader());
    true
}

#[test]
fn watch_goes_on_while_a_leader_loses_its_files_and_leads_again() {
    // The leases of the deleted file are waited for.
    let home = Home::new();
    let mut leader = home.leader_with("n", &["--lease-ms", "10000"]);
    let mut watch = Watch::start(&home);
    let leads = |line: &Value| line["leader"]["candidate"] == "ann";
    // A term that has ended in a file keeps its token.
    let gone = |line: Value| line["leader"].is_null() && line["token"].is_null();
    assert!(watch.lines.find(leads).is_some());
    delete_all(&home);
    assert!(watch.lines.any(gone));
    let again = watch.lines.find(leads).expect("a line");
    assert!(again["token"].as_u64() > leader.elected["token"].as_u64());
    let elected = format!("\"event\":\"elected\",\"token\":{}}}", again["token"]);
    assert!(leader.lines.any(|line| line.is_ok_and(|line| line.contains(&elected))), "{again}");
}
