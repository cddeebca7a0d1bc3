//! Figures beside their limits, and the run of the benches that measure them.

use std::process::ExitCode;
use std::time::Duration;

/// One figure and its limit.
pub struct Figure {
    what: String,
    measured: f64,
    limit: Limit,
    unit: &'static str,
}

enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Figure {
    /// A figure that must not be above its limit.
    pub fn new(what: impl Into<String>, measured: f64, limit: f64, unit: &'static str) -> Figure {
        Figure { what: what.into(), measured, limit: Limit::AtMost(limit), unit }
    }

    /// A figure that must not be below its limit.
    pub fn at_least(what: impl Into<String>, measured: f64, limit: f64, unit: &'static str) -> Figure {
        Figure { what: what.into(), measured, limit: Limit::AtLeast(limit), unit }
    }

    fn is_reached(&self) -> bool {
        match self.limit {
            Limit::AtMost(limit) => self.measured <= limit,
            Limit::AtLeast(limit) => self.measured >= limit,
        }
    }

    /// Whether something else on the machine may be to blame. A limit of zero is about what must never
    /// happen.
    fn may_be_noise(&self) -> bool {
        !self.is_reached() && !matches!(self.limit, Limit::AtMost(0.0))
    }

    fn verdict(&self) -> &'static str {
        match (self.is_reached(), &self.limit) {
            (true, _) => "ok",
            (false, Limit::AtMost(_)) => "TOO MUCH",
            (false, Limit::AtLeast(_)) => "TOO LITTLE",
        }
    }

    fn print(&self, bench: &str, verdict: &str) {
        let Figure { what, measured, limit: Limit::AtMost(limit) | Limit::AtLeast(limit), unit } = self;
        let figure = format!("{measured:10.2} {unit:2}  limit {limit:8.2} {unit:2}");
        println!("{bench:9} {what:58} {figure}  {verdict}");
    }
}

/// The value below which `percent` of the durations lie, in milliseconds.
pub fn percentile_ms(durations: &mut [Duration], percent: usize) -> f64 {
    durations.sort();
    let at = (durations.len() * percent).div_ceil(100).saturating_sub(1);
    durations[at].as_secs_f64() * 1_000.0
}

pub type Bench = (&'static str, fn() -> Vec<Figure>);

/// Measures, and once more if a figure misses its limit, which may be noise of a shared machine: then the
/// second measurement counts, whatever it says, and both are shown.
fn measure(name: &str, bench: fn() -> Vec<Figure>) -> Vec<Figure> {
    let figures = bench();
    let never = figures.iter().any(|figure| !figure.is_reached() && !figure.may_be_noise());
    if never || !figures.iter().any(Figure::may_be_noise) {
        return figures;
    }
    figures.iter().for_each(|figure| figure.print(name, "measured again"));
    bench()
}

/// Runs the benches that are wanted, or all. A figure that misses its limit fails the run.
pub fn run(benches: &[Bench], wanted: &[String]) -> ExitCode {
    if let Some(wrong) = wanted.iter().find(|name| !benches.iter().any(|bench| bench.0 == **name)) {
        eprintln!(
            "there is no bench {wrong:?}; there are {:?}",
            benches.iter().map(|bench| bench.0).collect::<Vec<_>>()
        );
        return ExitCode::from(2);
    }
    let (mut passed, mut failed) = (0, 0);
    for (name, bench) in benches {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        for figure in measure(name, *bench) {
            figure.print(name, figure.verdict());
            *if figure.is_reached() { &mut passed } else { &mut failed } += 1;
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
