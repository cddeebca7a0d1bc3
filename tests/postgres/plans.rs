//! How the server runs the statements of many elections at once.

use elector::core::sql::postgres::{IdType, Table};

use crate::handle::Handle;
use elector_kit::cluster::{Release, fresh_database};
use elector_kit::session::Session;

elector_kit::on_each_release! {
    no_statement_is_quadratic
}

const ELECTIONS: usize = 300;

/// A prepared statement is soon planned without its values, for arrays of a few elements: that plan, too, has
/// to be right for many. A join by a loop in a loop shows in the pairs of rows that its filter removed.
fn no_statement_is_quadratic(release: Release) {
    let url = fresh_database(release);
    // Makes the table.
    Handle::open(&url).acquire("another", 1).unwrap();
    let session = Session::open(&url);
    let table = Table::new("public", IdType::Text);
    session.run("SET plan_cache_mode = force_generic_plan");
    for (name, types, sql) in [
        ("acquire", "text[], text[], text[], bigint[], text[], bigint[], bigint[]", table.acquire()),
        ("renew", "text[], text[], bigint[], bigint[]", table.renew()),
        ("release", "text[], text[], bigint[], text", table.release()),
        ("look", "text[]", table.look()),
    ] {
        session.run(&format!("PREPARE {name}({types}) AS {sql}"));
    }
    let array = |values: &str, kind: &str| {
        format!("(SELECT array_agg({values} ORDER BY n)::{kind}[] FROM generate_series(1, {ELECTIONS}) n)")
    };
    let elections = session.one(&format!("SELECT {}", array("'election-' || n", "text")));
    let holders = session.one(&format!("SELECT {}", array("'holder-' || n", "text")));
    let leases = session.one(&format!("SELECT {}", array("60000", "bigint")));
    let any = session.one(&format!("SELECT {}", array("'any'::text", "text")));
    let nothing = session.one(&format!("SELECT {}", array("NULL::bigint", "bigint")));

    let acquire = format!(
        "acquire('{elections}', '{holders}', '{nothing}', '{leases}', '{any}', '{nothing}', '{nothing}')"
    );
    let filled = "SELECT count(*) FROM leader_lease WHERE leader_id LIKE 'holder-%'";
    let tokens = || {
        let ordered = "array_agg(token ORDER BY substr(id, 10)::int)";
        session.one(&format!("SELECT {ordered} FROM leader_lease WHERE leader_id LIKE 'holder-%'"))
    };
    let is_linear = |statement: &str| {
        let plan = session.run(&format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) EXECUTE {statement}"));
        let plan: Vec<String> = plan.into_iter().filter_map(|row| row.into_iter().next()?).collect();
        let removed: usize = plan
            .iter()
            .filter_map(|line| line.trim().strip_prefix("Rows Removed by ")?.rsplit_once(": "))
            .map(|(_, rows)| rows.parse::<usize>().unwrap())
            .sum();
        assert!(removed <= 4 * ELECTIONS, "{removed} rows were met in vain:\n{}", plan.join("\n"));
    };

    // Once where no row is there, once where it is left from the term before.
    for _ in 0..2 {
        is_linear(&acquire);
        assert_eq!(session.number(filled), ELECTIONS as i64);
        let tokens = tokens();
        for _ in 0..2 {
            is_linear(&format!("renew('{elections}', '{holders}', '{tokens}', '{leases}')"));
        }
        is_linear(&format!("look('{elections}')"));
        is_linear(&format!("release('{elections}', '{holders}', '{tokens}', 'public')"));
        assert_eq!(session.number(filled), 0);
    }
}
