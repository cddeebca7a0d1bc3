//! What `src/docs/monitoring.md` lists is what the code says, and nothing is left out.

use elector::core::FencingToken;
use elector::core::lease::{DeposedReason, Event};

const GUIDE: &str = include_str!("../../src/docs/monitoring.md");
const TELEMETRY: &str = include_str!("../../src/driver/hub/telemetry.rs");

/// The rows of the guide's tables.
fn rows() -> impl Iterator<Item = &'static str> {
    GUIDE.lines().filter(|line| line.starts_with("| `"))
}

/// Every event there is; the compiler asks for a new one here.
fn events() -> Vec<Event> {
    let token = FencingToken::new(1).unwrap();
    let first = Event::Elected { token };
    let next = |event: &Event| match event {
        Event::Elected { token } => Some(Event::Renewed { token: *token }),
        Event::Renewed { token } => Some(Event::AtRisk { token: *token }),
        Event::AtRisk { token } => Some(Event::StopNewWork { token: *token }),
        Event::StopNewWork { token } => Some(Event::Deposed { token: *token, reason: DeposedReason::Lost }),
        Event::Deposed { .. } => Some(Event::LeaderChanged { leader: None }),
        Event::LeaderChanged { .. } => Some(Event::StoreClockStepped { by_us: 1 }),
        Event::StoreClockStepped { .. } => Some(Event::TimelineChanged),
        Event::TimelineChanged => Some(Event::PoisonedRow { remaining_ms: 1 }),
        Event::PoisonedRow { .. } => None,
    };
    std::iter::successors(Some(first), next).collect()
}

#[test]
fn every_event_is_listed_with_its_fields() {
    for event in events() {
        let json = serde_json::to_value(&event).unwrap();
        let name = json["event"].as_str().unwrap();
        let row = rows().find(|row| row.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("no row of events for {name}"));
        for field in json.as_object().unwrap().keys().filter(|field| *field != "event") {
            assert!(row.contains(&format!("`{field}`")), "{field} is missing in {row}");
        }
    }
}

#[test]
fn every_metric_is_listed_and_no_other() {
    let quoted = |line: &'static str| line.split('"').find(|word| word.starts_with("elector_"));
    let mut told: Vec<_> =
        TELEMETRY.lines().filter(|line| line.contains("!(\"")).filter_map(quoted).collect();
    told.sort_unstable();
    told.dedup();
    let words = rows().flat_map(|row| row.split('`')).filter(|word| word.starts_with("elector_"));
    let mut listed: Vec<_> = words.map(|word| word.split('{').next().unwrap()).collect();
    listed.sort_unstable();
    assert_eq!(told, listed);
    assert!(told.len() >= 8, "{told:?}");
}
