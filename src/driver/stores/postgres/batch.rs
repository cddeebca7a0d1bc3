//! Executes a batch of jobs as at most four statements, one for each kind of operation, sent together.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row as SqlRow, Statement};

use super::config::Statements;
use crate::core::batch::Urgency;
use crate::core::lease::{Acquire, Failure, LeaderId, Op, Outcome, Row, StoreClock, Version};
use crate::core::sql::postgres::Table;
use crate::core::{FencingToken, StoreTime};
use crate::driver::stores::Job;

/// A statement and the types of its parameters, prepared or not ([`Statements`]).
pub(super) struct Query {
    text: String,
    types: &'static [Type],
    prepared: Option<Statement>,
}

impl Query {
    pub(super) async fn new(
        client: &Client,
        text: String,
        types: &'static [Type],
        statements: Statements,
    ) -> Result<Query, Error> {
        let prepared = match statements {
            Statements::Named => Some(client.prepare_typed(&text, types).await?),
            Statements::Unnamed => None,
        };
        Ok(Query { text, types, prepared })
    }

    pub(super) async fn run(
        &self,
        client: &Client,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<SqlRow>, Error> {
        match &self.prepared {
            Some(statement) => client.query(statement, values).await,
            None => {
                let typed: Vec<_> = values.iter().copied().zip(self.types.iter().cloned()).collect();
                client.query_typed(&self.text, &typed).await
            }
        }
    }
}

/// The statements of a batch.
pub(super) struct Queries {
    look: Query,
    acquire: Query,
    renew: Query,
    release: Query,
}

impl Queries {
    pub(super) async fn new(
        client: &Client,
        table: &Table,
        statements: Statements,
    ) -> Result<Queries, Error> {
        const TEXTS: Type = Type::TEXT_ARRAY;
        const NUMBERS: Type = Type::INT8_ARRAY;
        let acquire = &[TEXTS, TEXTS, TEXTS, NUMBERS, TEXTS, NUMBERS, NUMBERS];
        let renew = &[TEXTS, TEXTS, NUMBERS, NUMBERS];
        let release = &[TEXTS, TEXTS, NUMBERS, Type::TEXT];
        let (look, acquire, renew, release) = tokio::try_join!(
            Query::new(client, table.look(), &[TEXTS], statements),
            Query::new(client, table.acquire(), acquire, statements),
            Query::new(client, table.renew(), renew, statements),
            Query::new(client, table.release(), release, statements),
        )?;
        Ok(Queries { look, acquire, renew, release })
    }
}

/// The outcome of a job: its number in the batch, the outcome, and the store's time.
pub(super) type JobOutcome = (usize, Outcome, StoreClock);

/// The outcome of a job whose row another transaction has locked, so that it was not executed.
const BUSY: Outcome = Outcome::Failed(Failure::Unsent);

/// One statement of a batch: the numbers of its jobs, in the order of the statement's arrays, and their
/// answers.
pub(super) struct StatementResult {
    /// The operation, as the completion of "cannot …".
    pub(super) asked: &'static str,
    pub(super) jobs: Vec<usize>,
    pub(super) answers: Result<Vec<JobOutcome>, Error>,
}

/// Executes the jobs with these numbers. The statements are sent together, and each commits by itself.
pub(super) async fn run(
    client: &Client,
    queries: &Queries,
    schema: &str,
    jobs: &[Job],
    numbers: impl Iterator<Item = usize>,
) -> [StatementResult; 4] {
    let mut kinds: [Vec<usize>; 4] = Default::default();
    for number in numbers {
        kinds[Urgency::of(&jobs[number].request.op) as usize].push(number);
    }
    let [release, renew, acquire, look] = kinds;
    let batch = Batch { client, queries, schema, jobs };
    let answers = tokio::join!(
        batch.released(&release),
        batch.renewed(&renew),
        batch.acquired(&acquire),
        batch.looked(&look)
    );
    [
        StatementResult { asked: "release leases", jobs: release, answers: answers.0 },
        StatementResult { asked: "renew leases", jobs: renew, answers: answers.1 },
        StatementResult { asked: "acquire leases", jobs: acquire, answers: answers.2 },
        StatementResult { asked: "look at leases", jobs: look, answers: answers.3 },
    ]
}

struct Batch<'a> {
    client: &'a Client,
    queries: &'a Queries,
    schema: &'a str,
    jobs: &'a [Job],
}

impl Batch<'_> {
    /// Runs one statement for the jobs with these numbers, unless there are none. `outcome` reads the outcome
    /// of a job from its row.
    async fn ask(
        &self,
        query: &Query,
        numbers: &[usize],
        values: &[&(dyn ToSql + Sync)],
        outcome: impl Fn(&SqlRow) -> Result<Outcome, Error>,
    ) -> Result<Vec<JobOutcome>, Error> {
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let rows = query.run(self.client, values).await?;
        rows.iter().map(|row| Ok((number_in_batch(numbers, row)?, outcome(row)?, clock(row)?))).collect()
    }

    fn elections(&self, numbers: &[usize]) -> Vec<&str> {
        numbers.iter().map(|&number| self.jobs[number].election.as_str()).collect()
    }

    async fn looked(&self, numbers: &[usize]) -> Result<Vec<JobOutcome>, Error> {
        let elections = self.elections(numbers);
        self.ask(&self.queries.look, numbers, &[&elections], |row| Ok(Outcome::Seen(row_of(row)?))).await
    }

    async fn acquired(&self, numbers: &[usize]) -> Result<Vec<JobOutcome>, Error> {
        let acquires: Vec<&Acquire> = numbers
            .iter()
            .filter_map(|&number| match &self.jobs[number].request.op {
                Op::Acquire(acquire) => Some(acquire),
                _ => None,
            })
            .collect();
        let holders: Vec<&str> = acquires.iter().map(|acquire| acquire.holder.as_str()).collect();
        let metas: Vec<Option<&str>> = acquires.iter().map(|acquire| acquire.meta.as_deref()).collect();
        let leases: Vec<i64> = acquires.iter().map(|acquire| millis(acquire.lease)).collect();
        let conditions: Vec<Condition> =
            acquires.iter().map(|acquire| Condition::of(acquire.unchanged)).collect();
        let words: Vec<&str> = conditions.iter().map(|condition| condition.word).collect();
        let tokens: Vec<Option<i64>> = conditions.iter().map(|condition| condition.token).collect();
        let expiries: Vec<Option<i64>> = conditions.iter().map(|condition| condition.expires_us).collect();
        let elections = self.elections(numbers);
        let values: [&(dyn ToSql + Sync); 7] =
            [&elections, &holders, &metas, &leases, &words, &tokens, &expiries];
        let outcome = |row: &SqlRow| match row.try_get::<_, Option<i64>>("granted")?.and_then(token) {
            Some(token) => Ok(Outcome::Granted { token }),
            None => Ok(Outcome::Seen(row_of(row)?)),
        };
        self.ask(&self.queries.acquire, numbers, &values, outcome).await
    }

    async fn renewed(&self, numbers: &[usize]) -> Result<Vec<JobOutcome>, Error> {
        let (mut holders, mut tokens, mut leases) = (Vec::new(), Vec::new(), Vec::new());
        for &number in numbers {
            if let Op::Renew { token, holder, lease } = &self.jobs[number].request.op {
                holders.push(holder.as_str());
                tokens.push(token.get() as i64);
                leases.push(millis(*lease));
            }
        }
        let elections = self.elections(numbers);
        let outcome = |row: &SqlRow| match (row.try_get("renewed")?, row.try_get("busy")?) {
            (true, _) => Ok(Outcome::Renewed),
            (false, true) => Ok(BUSY),
            (false, false) => Ok(Outcome::Lost),
        };
        self.ask(&self.queries.renew, numbers, &[&elections, &holders, &tokens, &leases], outcome).await
    }

    async fn released(&self, numbers: &[usize]) -> Result<Vec<JobOutcome>, Error> {
        let (mut holders, mut tokens) = (Vec::new(), Vec::new());
        for &number in numbers {
            if let Op::Release { token, holder } = &self.jobs[number].request.op {
                holders.push(holder.as_str());
                tokens.push(token.get() as i64);
            }
        }
        let elections = self.elections(numbers);
        let values: [&(dyn ToSql + Sync); 4] = [&elections, &holders, &tokens, &self.schema];
        let outcome = |row: &SqlRow| Ok(if row.try_get("busy")? { BUSY } else { Outcome::Released });
        self.ask(&self.queries.release, numbers, &values, outcome).await
    }
}

/// The version that a row must still have for an acquire to take it, as parameters of the statement.
struct Condition {
    word: &'static str,
    token: Option<i64>,
    expires_us: Option<i64>,
}

impl Condition {
    fn of(unchanged: Option<Version>) -> Condition {
        match unchanged {
            None => Condition { word: "any", token: None, expires_us: None },
            Some(Version::Absent) => Condition { word: "absent", token: None, expires_us: None },
            Some(Version::Row { token, expires_at }) => Condition {
                word: "same",
                token: token.map(|token| token.get() as i64),
                expires_us: Some(expires_at.as_micros()),
            },
        }
    }
}

/// The number, within the batch, of the job that a row answers.
fn number_in_batch(numbers: &[usize], row: &SqlRow) -> Result<usize, Error> {
    let ord: i64 = row.try_get("ord")?;
    // `WITH ORDINALITY` counts the elements of our own array from one.
    Ok(numbers[(ord as usize).saturating_sub(1).min(numbers.len() - 1)])
}

pub(super) fn clock(row: &SqlRow) -> Result<StoreClock, Error> {
    let (now, timeline): (i64, i64) = (row.try_get("now_us")?, row.try_get("timeline")?);
    Ok(StoreClock { now: StoreTime::from_micros(now), timeline: timeline as u64 })
}

/// The election's row in an answer; `None` if the table has none.
pub(super) fn row_of(row: &SqlRow) -> Result<Option<Row>, Error> {
    let Some(expires_us) = row.try_get::<_, Option<i64>>("expires_us")? else { return Ok(None) };
    let leader: Option<&str> = row.try_get("leader_id")?;
    let remaining_us: i64 = row.try_get("remaining_us")?;
    let lease_ms: Option<i64> = row.try_get("lease_ms")?;
    let meta: Option<&str> = row.try_get("meta")?;
    Ok(Some(Row {
        holder: leader.and_then(LeaderId::from_store),
        token: row.try_get::<_, Option<i64>>("token")?.and_then(token),
        expires_at: StoreTime::from_micros(expires_us),
        remaining: std::time::Duration::from_micros(remaining_us.max(0) as u64),
        lease: lease_ms.map(|ms| std::time::Duration::from_millis(ms.max(0) as u64)),
        meta: meta.map(Into::into),
    }))
}

fn token(value: i64) -> Option<FencingToken> {
    u64::try_from(value).ok().and_then(FencingToken::new)
}

/// A lease in milliseconds, rounded up, since it must not expire in the store before its holder's trust ends.
fn millis(lease: std::time::Duration) -> i64 {
    i64::try_from(lease.as_micros().div_ceil(1_000)).unwrap_or(i64::MAX)
}
