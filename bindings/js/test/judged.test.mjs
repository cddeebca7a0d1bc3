// The core's verdicts for the hub and the PostgreSQL store, with JavaScript's objects. Rust tests the rules
// themselves.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
    busyRow, electionRefusal, explainPostgresError, judgeTable, lacksCharacter, limits, postgresFailure,
    suggestsChangedTable, urgency, waitedForMs,
} from "../dist/cjs/core.mjs";

const COLUMNS = {
    id: "text", leader_id: "text", expires_at: "timestamp with time zone",
    created_at: "timestamp with time zone", token: "bigint", lease_ms: "bigint", meta: "text",
};

/** Rows as `pg` returns them for a table of Elector. */
function rows(types = COLUMNS, more = {}) {
    return Object.entries(types).map(([name, type]) => ({
        name, type, modifier: null, is_key: name === "id", is_demanded: false, is_logged: true,
        hidden: null, role: "me", encoding: null, ...more,
    }));
}

test("a table is judged from its column rows as clients return them", () => {
    assert.deepEqual(judgeTable("jobs", rows()), { verdict: "usable", idType: "text" });
    const numbers = judgeTable("jobs", rows({ ...COLUMNS, id: "bigint" }, { encoding: "LATIN1" }));
    assert.deepEqual(numbers, { verdict: "usable", idType: "bigint", encoding: "LATIN1" });
    const hidden = judgeTable("jobs", rows(COLUMNS, { hidden: "UPDATE, DELETE" }));
    assert.match(hidden.hidden, /from role "me": no policy allows UPDATE; have its owner run CREATE POLICY/);
    const none = judgeTable("jobs", []);
    assert.equal(none.verdict, "incomplete");
    assert.match(none.why, /^there is no table leader_lease in schema "jobs"; make it with `elector migr/);
    const narrow = judgeTable("jobs", rows(COLUMNS, { modifier: 10 }));
    assert.equal(narrow.verdict, "unusable");
    assert.match(narrow.why, /column id takes 10 characters, and 255 are needed; make it text/);
    assert.equal(judgeTable("jobs", [{}]).verdict, "unusable", "a client that names nothing");
});

test("a server error's message contains its SQLSTATE and advice", () => {
    const said = explainPostgresError("no such relation", "42P01", undefined);
    assert.match(said, /^no such relation \(SQLSTATE 42P01\); have its owner run .*`elector migrate`$/);
    assert.match(explainPostgresError("no", "42501", "check_enable_rls"), /; row security is on/);
    assert.equal(explainPostgresError("so", "XX000"), "so (SQLSTATE XX000)");
    assert.deepEqual(["42P01", "40001"].map((code) => postgresFailure(code, false)), ["refused", "unsent"]);
    assert.equal(postgresFailure("40001", true), "unknown");
    assert.deepEqual(["42P01", "40001"].map(suggestsChangedTable), [true, false]);
    assert.deepEqual(["22P05", "22012"].map(lacksCharacter), [true, false]);
});

test("a refused name and a locked row are reported with the election's name", () => {
    assert.equal(electionRefusal("integer", "7"), undefined);
    assert.match(electionRefusal("integer", "nightly"), /^election "nightly" cannot be kept.*integer; name/);
    assert.match(busyRow("renew leases", "a"), /^cannot renew leases: another transaction holds the row of/);
});

test("a batch is sorted by urgency, and the wait ends at its first deadline of a renewal or release", () => {
    const order = ["look", "acquire", "release", "renew"].sort((a, b) => urgency(a) - urgency(b));
    assert.deepEqual(order, ["release", "renew", "acquire", "look"]);
    const batch = (...jobs) => jobs.map(([op, deadlineMs], id) => ({ id, op, deadlineMs }));
    assert.equal(waitedForMs(batch(["look", 9], ["renew", 8], ["release", 6.5])), 6.5);
    assert.equal(waitedForMs(batch(["look", 9], ["acquire", 8])), 9);
    assert.equal(waitedForMs([]), 0);
    assert.deepEqual(limits(), { mostJobs: 4_096, shortestPatienceMs: 750, cleanUpEveryMs: 60_000 });
});
