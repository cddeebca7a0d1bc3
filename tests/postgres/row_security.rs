//! Row security: what it hides from a role is not taken for absent or locked. The policies that are missing
//! are named, and with them everything works.

use std::time::Duration;

use elector::Elector;

use crate::commands;
use crate::leading::{lead, leading};
use elector_kit::cluster::{Cluster, Release};
use elector_kit::field::{Field, STEADY};
use elector_kit::session::Session;
use elector_kit::waiting::{self, wait_until};

elector_kit::on_each_release! {
    what_row_security_hides_is_named_and_refused
    a_candidate_from_which_rows_are_hidden_waits_and_leads_once_there_is_a_policy
    a_table_that_row_security_closes_meanwhile_is_named
    an_owner_is_bound_by_row_security_only_if_it_is_forced
    a_policy_that_refuses_a_row_is_not_taken_for_a_missing_grant
    in_a_table_of_numbers_a_release_needs_a_policy_to_delete
    work_is_guarded_with_policies_to_select_and_to_update
}

const POLICIES: [(&str, &str); 3] = [
    ("SELECT", "FOR SELECT TO app USING (true)"),
    ("INSERT", "FOR INSERT TO app WITH CHECK (true)"),
    ("UPDATE", "FOR UPDATE TO app USING (true)"),
];

/// A server with a table under row security, a role that is granted all of it, and the role's URL.
fn secured(release: Release) -> (Cluster, String) {
    let cluster = Cluster::start(release);
    let url = cluster.url().replacen("postgres@", "app@", 1);
    let _made = Elector::builder("made").store(cluster.url()).build().unwrap().connect(waiting::SOON);
    cluster.session().run(
        "CREATE ROLE app LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON leader_lease TO app;
         ALTER TABLE leader_lease ENABLE ROW LEVEL SECURITY",
    );
    (cluster, url)
}

/// The command's exit code, and what it says.
fn elector(url: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = commands::elector(arguments).env("ELECTOR_STORE", url).output().expect("the program starts");
    (output.status.code(), commands::said(&output))
}

const STATUS: &[&str] = &["status"];
const BREAK: &[&str] = &["break", "--election", "nightly", "--yes"];
const RELEASE: &[&str] = &["release", "--election", "nightly", "--token", "7"];
const RUN: &[&str] = &["run", "--election", "other", "--", "true"];

fn candidate(url: &str) -> Elector {
    Elector::builder("nightly").store(url).lease(Duration::from_secs(300)).build().unwrap()
}

/// A row of another role's is there, and the policies let `app` see it or not.
fn what_row_security_hides_is_named_and_refused(release: Release) {
    let (cluster, url) = secured(release);
    let admin = cluster.session();
    // Which policies there are, and what is missing for questions, for those who end a term, and for
    // candidates.
    let cases: [(&[usize], _, _, _); 6] = [
        (&[], "SELECT", "SELECT", "SELECT"),
        (&[1, 2], "SELECT", "SELECT", "SELECT"),
        (&[0], "", "UPDATE", "INSERT, UPDATE"),
        (&[0, 1], "", "UPDATE", "UPDATE"),
        (&[0, 2], "", "", "INSERT"),
        (&[0, 1, 2], "", "", ""),
    ];
    for (policies, questions, endings, candidates) in cases {
        admin.run(
            "DELETE FROM leader_lease; INSERT INTO leader_lease (id, leader_id, token, expires_at)
             VALUES ('nightly', 'theirs#0000000000000000', 8, clock_timestamp() + interval '1 h')",
        );
        for (name, text) in policies.iter().map(|at| POLICIES[*at]) {
            admin.run(&format!("CREATE POLICY of_{name} ON leader_lease {text}"));
        }
        for (arguments, missing, right) in
            [(STATUS, questions, 0), (RELEASE, endings, 1), (RUN, candidates, 0), (BREAK, endings, 0)]
        {
            let (code, said) = elector(&url, arguments);
            if missing.is_empty() {
                assert_eq!(code, Some(right), "{policies:?}: {arguments:?}: {said}");
                assert!(!said.contains("row security"), "{policies:?}: {arguments:?}: {said}");
                continue;
            }
            assert_eq!(code, Some(69), "{policies:?}: {arguments:?}: {said}");
            let expected =
                format!("role \"app\": no policy allows {missing}; have its owner run CREATE POLICY");
            assert!(said.contains(&expected) && !said.contains('\n'), "{policies:?}: {arguments:?}: {said}");
        }
        for (name, _) in policies.iter().map(|at| POLICIES[*at]) {
            admin.run(&format!("DROP POLICY of_{name} ON leader_lease"));
        }
    }
    // A policy for another role, or one that only restricts, is none.
    admin.run("CREATE ROLE other; CREATE POLICY others ON leader_lease TO other USING (true)");
    admin.run("CREATE POLICY narrower ON leader_lease AS RESTRICTIVE USING (true)");
    assert_eq!(elector(&url, STATUS).0, Some(69));
    // One for a role that it is a member of, or for all, is one.
    admin.run("GRANT other TO app");
    assert_eq!(elector(&url, RUN).0, Some(0));
}

/// As the message says it: that policy is enough.
fn a_candidate_from_which_rows_are_hidden_waits_and_leads_once_there_is_a_policy(release: Release) {
    let (cluster, url) = secured(release);
    let mut field = Field::with_lease(&url, 1, STEADY);
    field.complaint("no policy allows SELECT; have its owner run");
    let admin = cluster.session();
    for at in [0, 1] {
        admin.run(&format!("CREATE POLICY only_{at} ON leader_lease {}", POLICIES[at].1));
    }
    field.complaint("no policy allows UPDATE; have its owner run");
    assert_eq!(field.terms(), 0, "what it could not renew it does not take");
    assert_eq!(admin.number("SELECT count(*) FROM leader_lease"), 0);
    let said = candidate(&url).connect(waiting::SOON).unwrap_err().to_string();
    let cure = said.split_once("have its owner run ").unwrap().1;
    admin.run(cure);
    let leader = field.leader();
    field.say(leader.candidate, "release");
    field.judge();
}

/// As an operator does on a running system. What the candidate finds locked then is not.
fn a_table_that_row_security_closes_meanwhile_is_named(release: Release) {
    for policies in [&[][..], &[0, 1]] {
        let (cluster, url) = secured(release);
        let admin = cluster.session();
        admin.run("ALTER TABLE leader_lease DISABLE ROW LEVEL SECURITY");
        let lease = Duration::from_secs(1);
        let elector = Elector::builder("nightly").store(&url).lease(lease).build().unwrap();
        leading(elector.clone());
        for at in policies {
            admin.run(&format!("CREATE POLICY only_{at} ON leader_lease {}", POLICIES[*at].1));
        }
        admin.run("ALTER TABLE leader_lease ENABLE ROW LEVEL SECURITY");
        let is_said =
            || elector.last_error().is_some_and(|said| said.to_string().contains("no policy allows"));
        wait_until("the reason", is_said);
        admin.run("ALTER TABLE leader_lease DISABLE ROW LEVEL SECURITY");
        lead(&elector);
    }
}

fn an_owner_is_bound_by_row_security_only_if_it_is_forced(release: Release) {
    let (cluster, url) = secured(release);
    let admin = cluster.session();
    admin.run("ALTER TABLE leader_lease OWNER TO app");
    assert_eq!(elector(&url, RUN).0, Some(0));
    admin.run("ALTER TABLE leader_lease FORCE ROW LEVEL SECURITY");
    assert_eq!(elector(&url, STATUS).0, Some(69));
    admin.run("ALTER ROLE app BYPASSRLS");
    assert_eq!(elector(&url, RUN).0, Some(0));
}

/// Policies may tell elections apart.
fn a_policy_that_refuses_a_row_is_not_taken_for_a_missing_grant(release: Release) {
    let (cluster, url) = secured(release);
    cluster.session().run("CREATE POLICY own ON leader_lease TO app USING (id LIKE 'app/%')");
    let elector =
        |name: &str| Elector::builder(name).store(&url).lease(Duration::from_secs(300)).build().unwrap();
    leading(elector("app/nightly"));
    let other = elector("nightly");
    other.campaign();
    wait_until("the refusal", || other.last_error().is_some());
    let said = other.last_error().unwrap().to_string();
    assert!(said.contains("row security is on") && !said.contains("grant the role"), "{said}");
}

/// Under a role of its own, as src/docs/stores.md says. Without them it fails closed.
fn work_is_guarded_with_policies_to_select_and_to_update(release: Release) {
    let (cluster, url) = secured(release);
    let (admin, leader) = (cluster.session(), leading(candidate(&cluster.url())));
    let (work, guard) = (Session::open(&url), leader.guard_sql().unwrap());
    assert_eq!(work.run(&guard).len(), 0);
    admin.run(&format!("CREATE POLICY one ON leader_lease {}", POLICIES[0].1));
    assert_eq!(work.run(&guard).len(), 0);
    admin.run(&format!("CREATE POLICY two ON leader_lease {}", POLICIES[2].1));
    assert_eq!(work.run(&guard).len(), 1);
}

fn in_a_table_of_numbers_a_release_needs_a_policy_to_delete(release: Release) {
    let (cluster, url) = secured(release);
    let admin: Session = cluster.session();
    admin.run("DROP TABLE leader_lease");
    admin.run(elector_kit::peer::TABLE);
    let _made = Elector::builder("1").store(cluster.url()).build().unwrap().connect(waiting::SOON);
    admin.run("GRANT SELECT, INSERT, UPDATE, DELETE ON leader_lease TO app");
    admin.run("ALTER TABLE leader_lease ENABLE ROW LEVEL SECURITY");
    for (name, text) in POLICIES {
        admin.run(&format!("CREATE POLICY of_{name} ON leader_lease {text}"));
    }
    let run = ["run", "--election", "1", "--", "true"];
    let (code, said) = elector(&url, &run);
    assert!(code == Some(69) && said.contains("no policy allows DELETE;"), "{said}");
    admin.run("CREATE POLICY to_delete ON leader_lease FOR DELETE TO app USING (true)");
    assert_eq!(elector(&url, &run).0, Some(0));
}
