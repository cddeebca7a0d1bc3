//! What `conform` answers to the questions that `conform.md` describes.

use serde_json::{Value, json};

use crate::answer;
use crate::answer::Session;

fn ask(question: Value) -> Value {
    answer(question.to_string().as_bytes())
}

#[test]
fn votes_are_counted_in_both_halves_and_strangers_do_not_count() {
    let result = |incoming: &[&str], outgoing: &[&str], votes: Value| {
        let answer = ask(json!({"op": "vote", "incoming": incoming, "outgoing": outgoing, "votes": votes}));
        answer["result"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    let three = ["1", "2", "3"];
    assert_eq!(result(&three, &[], json!({"1": true, "2": false})), "pending");
    assert_eq!(result(&three, &[], json!({"1": true, "3": true})), "won");
    assert_eq!(result(&three, &[], json!({"1": false, "3": false})), "lost");
    assert_eq!(result(&three, &[], json!({"7": true, "8": true})), "pending");
    assert_eq!(result(&three, &["4", "5"], json!({"1": true, "2": true})), "pending");
    assert_eq!(result(&three, &["4", "5"], json!({"1": true, "2": true, "4": false})), "lost");
    assert_eq!(result(&three, &three, json!({"2": true, "3": true})), "won");
    assert_eq!(result(&["b", "b", "a"], &[], json!({"a": true})), "pending");
    assert_eq!(result(&[], &[], json!({"1": true})), "lost");
    assert_eq!(result(&[], &["1"], json!({"1": true})), "won", "one half alone is the configuration");
}

#[test]
fn the_committed_index_is_what_both_halves_keep() {
    let index = |incoming: &[&str], outgoing: &[&str], acked: Value| {
        ask(json!({"op": "commit", "incoming": incoming, "outgoing": outgoing, "acked": acked}))["index"]
            .clone()
    };
    assert_eq!(index(&["1", "2", "3"], &[], json!({"1": 7, "2": 5})), 5);
    assert_eq!(index(&["1", "2", "3"], &["3", "4"], json!({"1": 7, "2": 5, "3": 9, "4": 2})), 2);
    assert_eq!(index(&["1", "2"], &[], json!({"1": 7})), 0);
    assert_eq!(index(&[], &[], json!({"1": 7})), 0);
    let halves = [&["1", "2", "3"][..], &["2", "4"]];
    assert_eq!(
        index(halves[0], halves[1], json!({"2": 3, "4": 8})),
        index(halves[1], halves[0], json!({"2": 3, "4": 8}))
    );
}

#[test]
fn changes_lead_to_the_lists_of_the_next_configuration() {
    let change = |voters: &[&str], outgoing: &[&str], learners: &[&str], changes: Value, joint: &str| {
        ask(json!({"op": "change", "voters": voters, "outgoing": outgoing, "learners": learners,
            "changes": changes, "joint": joint}))
    };
    assert_eq!(
        change(&["1", "2", "3"], &[], &[], json!([{"add": "4"}, {"learner": "5"}, {"remove": "1"}]), "auto"),
        json!({"voters": ["2", "3", "4"], "outgoing": ["1", "2", "3"], "learners": ["5"]})
    );
    assert_eq!(
        change(&["1", "2"], &[], &[], json!([{"add": "3"}]), "auto"),
        json!({"voters": ["1", "2", "3"], "outgoing": [], "learners": []})
    );
    for joint in ["explicit", "implicit"] {
        assert_eq!(
            change(&["1", "2"], &[], &["3"], json!([{"add": "3"}]), joint),
            json!({"voters": ["1", "2", "3"], "outgoing": ["1", "2"], "learners": []})
        );
        assert_eq!(
            change(&["1"], &[], &[], json!([]), joint),
            json!({"voters": ["1"], "outgoing": ["1"], "learners": []})
        );
    }
    assert_eq!(
        change(&["2"], &["1", "2"], &["1"], json!([]), "auto"),
        json!({"voters": ["2"], "outgoing": [], "learners": ["1"]})
    );
    assert_eq!(
        change(&[], &[], &[], json!([{"add": "1"}]), "auto"),
        json!({"voters": ["1"], "outgoing": [], "learners": []})
    );
    assert!(change(&[], &["1"], &[], json!([{"add": "2"}]), "auto")["error"].is_string());
    let error = |answer: Value| answer["error"].as_str().unwrap().to_owned();
    assert!(error(change(&["1"], &[], &[], json!([]), "auto")).starts_with("no joint change is in progress"));
    assert!(error(change(&["1"], &["2"], &[], json!([{"add": "3"}]), "auto")).starts_with("a joint change"));
    assert!(error(change(&["1"], &[], &[], json!([{"learner": "1"}]), "auto")).starts_with("no voter"));
    assert!(
        error(change(&["1"], &[], &["1"], json!([{"add": "3"}]), "auto")).contains("as voter and as learner")
    );
}

#[test]
fn members_are_driven_line_by_line() {
    let mut session = Session::default();
    let mut ask = |question: Value| {
        let answer = session.answer(question.to_string().as_bytes());
        assert!(answer.get("error").is_none(), "{question}: {answer}");
        answer
    };
    for id in ["1", "2", "3"] {
        let made = ask(
            json!({"op": "member", "id": id, "voters": ["1", "2", "3"], "learners": [], "witnesses": [],
            "term": 1, "vote": null, "last": {"term": 1, "index": 1}, "committed": {"term": 1, "index": 1},
            "pre_vote": false, "withhold": false, "seed": 7, "heartbeat_ms": 100, "election_ms": [200, 800]}),
        );
        assert_eq!(
            (&made["role"], &made["term"], &made["leader"]),
            (&json!("follower"), &json!(1), &Value::Null)
        );
    }
    let campaign = ask(json!({"op": "campaign", "id": "1"}));
    assert_eq!((&campaign["role"], &campaign["vote"]), (&json!("candidate"), &json!("1")));
    let votes = campaign["sent"].as_array().unwrap().clone();
    assert_eq!(votes.iter().map(|vote| &vote["type"]).collect::<Vec<_>>(), ["vote", "vote"]);
    let answered = ask(json!({"op": "deliver", "message": votes[0]}));
    assert_eq!((&answered["id"], &answered["sent"][0]["granted"]), (&json!("2"), &json!(true)));
    ask(json!({"op": "stabilize"}));
    let led = ask(json!({"op": "state", "id": "1"}));
    assert_eq!((&led["role"], &led["is_leader"], &led["term"]), (&json!("leader"), &json!(true), &json!(2)));
    assert_eq!(led["committed"], json!({"term": 2, "index": 2}));
    ask(json!({"op": "propose", "id": "1", "data": "x"}));
    ask(json!({"op": "stabilize"}));
    let follows = ask(json!({"op": "state", "id": "3"}));
    assert_eq!(
        (&follows["leader"], &follows["data"], &follows["committed"]["index"]),
        (&json!("1"), &json!("x"), &json!(3))
    );
    let tick = ask(json!({"op": "tick", "id": "1", "ms": 100}));
    assert_eq!(tick["sent"][0]["type"], "append");
    ask(json!({"op": "stabilize"}));
    let gone = ask(json!({"op": "transfer", "id": "1", "to": "3"}));
    assert_eq!((&gone["is_leader"], &gone["sent"][0]["type"]), (&json!(false), &json!("timeout_now")));
    ask(json!({"op": "stabilize"}));
    assert_eq!(ask(json!({"op": "state", "id": "3"}))["is_leader"], true);
}

#[test]
fn a_member_that_keeps_its_writes_sends_when_they_are_done() {
    let mut session = Session::default();
    let mut ask = |question: Value| session.answer(question.to_string().as_bytes());
    ask(json!({"op": "member", "id": "1", "voters": ["1", "2"], "pre_vote": false, "withhold": false,
            "keep_writes": true}));
    let campaign = ask(json!({"op": "campaign"}));
    assert_eq!((&campaign["role"], &campaign["sent"]), (&json!("candidate"), &json!([])));
    assert_eq!(ask(json!({"op": "persisted"}))["sent"][0]["type"], "vote");
    let error = |answer: Value| answer["error"].as_str().unwrap().to_owned();
    assert_eq!(
        error(ask(json!({"op": "state", "id": "2"}))),
        "no member 2 was made; make it with the op \"member\""
    );
    let late =
        json!({"op": "member", "id": "3", "voters": ["3"], "term": 1, "last": {"term": 2, "index": 1}});
    assert_eq!(error(ask(late)), "the field `committed` is invalid or cut off");
}

#[test]
fn a_line_that_cannot_be_answered_gets_an_error_that_names_the_field() {
    let error = |line: &str| answer(line.as_bytes())["error"].as_str().unwrap().to_owned();
    assert!(error("{").starts_with("the line is not JSON"));
    assert_eq!(error("[]"), "the field `op` is missing");
    assert_eq!(error(r#"{"op":"votes"}"#), r#"the op "votes" is not known; conform.md lists them"#);
    assert_eq!(
        error(r#"{"op":"vote","incoming":[1],"outgoing":[],"votes":{}}"#),
        "the field `incoming` is 1; give an id, which is a string"
    );
    assert_eq!(
        error(r#"{"op":"vote","incoming":["1"],"outgoing":[],"votes":{"1":"yes"}}"#),
        r#"`votes` of 1 is "yes"; give true or false"#
    );
    assert_eq!(
        error(r#"{"op":"commit","incoming":["1"],"outgoing":[],"acked":{"1":-4}}"#),
        "`acked` of 1 is -4; give an index, below 2^53"
    );
    assert_eq!(
        error(
            r#"{"op":"change","joint":"auto","voters":["1"],"outgoing":[],"learners":[],
                "changes":[{"grow":"1"}]}"#
        ),
        r#"the change {"grow":"1"} is not known; give {"add": ID}, {"learner": ID} or {"remove": ID}"#
    );
    assert_eq!(
        error(r#"{"op":"decode","bytes":"4"}"#),
        r#""4" is not a sequence of pairs of hexadecimal digits"#
    );
    assert!(answer(b"\xff\xfe")["error"].is_string());
}

/// `conform.md` lists each message type with its fields, as `conform` prints them.
#[test]
fn the_page_lists_every_message_type_with_its_fields() {
    let (_, page) = include_str!("conform.md").split_once("## Messages").unwrap();
    for (message, _) in crate::bytes::messages() {
        let object = crate::json::message_json(&message);
        let name = object["type"].as_str().unwrap();
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("conform.md has no row for {name}"));
        let common = ["type", "cluster", "from", "from_incarnation", "to", "to_incarnation", "term"];
        for field in object.as_object().unwrap().keys().filter(|field| !common.contains(&field.as_str())) {
            assert!(row.contains(&format!("`{field}`")), "conform.md: the row of {name} lacks `{field}`");
        }
    }
}
