//! Every query of every panel and variable, in every state of the drill.

use std::{collections::BTreeMap, fs, time::Duration};

use serde_json::{Value, json};
use telltail_watch::{
    dashboard::{Dashboard, Query},
    grafana::{View, label_values},
    in_repository,
    prometheus::{Api, Series},
};

use crate::{
    Phase, expected_panels,
    fixture::{DB, PODS, now},
};

/// More are never shown in one panel by one query, with four pods and two targets: the longest list is the reasons, of
/// which a few occur.
const MOST: usize = 31;
const SCRAPE: Duration = Duration::from_secs(1);
/// What is shown at a moment is judged by the last seconds, longer than what the hurried rules look back.
const MOMENT: Duration = Duration::from_secs(6);

/// What the panels showed, by state.
pub struct PanelRecords {
    boards: Vec<Dashboard>,
    began: f64,
    /// By panel and query.
    seen: BTreeMap<String, QueryRecord>,
    record: Vec<Value>,
    problems: Vec<String>,
}

/// What one query showed.
#[derive(Default)]
struct QueryRecord {
    /// In these states something, with the last value of the first series.
    states: BTreeMap<Phase, f64>,
    /// The most series.
    most: usize,
}

impl PanelRecords {
    pub fn new() -> Self {
        let boards = Dashboard::all();
        Self { boards, began: now(), seen: BTreeMap::new(), record: Vec::new(), problems: Vec::new() }
    }

    /// Asks for everything, as somebody would see it now.
    pub async fn capture(&mut self, api: &Api, state: Phase) {
        let time = now();
        for query in self.boards.iter().flat_map(Dashboard::queries).collect::<Vec<_>>() {
            // A figure for the whole range is one for the whole drill.
            let range = if query.instant { Duration::from_secs_f64((time - self.began).ceil()) } else { MOMENT };
            match ask(api, &query, &view(range, state), time).await {
                Ok(series) => self.keep(&query, state, time, &series),
                Err(error) => self.problems.push(format!("{}: {error}", place(&query))),
            }
        }
        let view = view(MOMENT, state);
        for board in &self.boards {
            for (name, query) in board.variables() {
                let (selector, label) = label_values(query).expect("the lint knows no other kind");
                let values = api.label_values(&view.expand(selector, 1000), label).await;
                if !values.as_ref().is_ok_and(|values| !values.is_empty()) {
                    self.problems.push(format!("{} ${name}: {values:?}", board.name));
                }
            }
        }
    }

    fn keep(&mut self, query: &Query, state: Phase, time: f64, series: &[Series]) {
        let seen = self.seen.entry(place(query)).or_default();
        seen.most = seen.most.max(series.len());
        let last = series.iter().find_map(|series| series.points.iter().rev().find(|(_, value)| !value.is_nan()));
        if let Some((_, value)) = last {
            seen.states.insert(state, *value);
        }
        if query.instant {
            self.record.push(recorded(query, Some(state), time, series));
        }
    }

    /// Writes what was seen, for `tests/watch/draw`: tables and figures at each state, graphs over the whole drill.
    pub async fn save(&mut self, api: &Api, marks: &[(f64, String)]) {
        let end = now();
        let view = view(Duration::from_secs_f64((end - self.began).ceil()), Phase::NodeDown);
        for query in self.boards.iter().flat_map(Dashboard::queries).filter(|query| !query.instant).collect::<Vec<_>>()
        {
            match ask(api, &query, &view, end).await {
                Ok(series) => self.record.push(recorded(&query, None, end, &series)),
                Err(error) => self.problems.push(format!("{}: {error}", place(&query))),
            }
        }
        let folder = in_repository("target/watch");
        fs::create_dir_all(&folder).expect("the target folder is ours");
        let all = json!({"began": self.began, "ended": end, "marks": marks, "results": self.record});
        fs::write(folder.join("drill.json"), all.to_string()).expect("the target folder is ours");
    }

    /// Panel by panel, in which states it showed something, and how many series at most.
    pub fn table(&self) -> String {
        let row = |(place, seen): (&String, &QueryRecord)| {
            let marks = Phase::ALL.map(|state| if seen.states.contains_key(&state) { "x" } else { "." }).join(" ");
            format!("{marks}  {:>3}  {place}\n", seen.most)
        };
        self.seen.iter().map(row).collect()
    }

    /// Panics with everything that was not as it should be.
    pub fn judge(&self) {
        let mut problems = self.problems.clone();
        for (place, seen) in &self.seen {
            let (must, may) = expected_panels::states(place);
            for state in Phase::ALL {
                match (seen.states.contains_key(&state), must.contains(&state)) {
                    (false, true) => problems.push(format!("{place}: shows nothing while {}", state.name())),
                    (true, false) if !may.contains(&state) => {
                        problems.push(format!("{place}: shows something while {}", state.name()));
                    }
                    _ => {}
                }
            }
            if seen.most > MOST {
                problems.push(format!("{place}: {} series", seen.most));
            }
        }
        for (place, state, value) in expected_panels::VALUES {
            let shown = self.seen.get(*place).and_then(|seen| seen.states.get(state));
            if shown != Some(value) {
                problems.push(format!("{place}: {shown:?} while {}, not {value}", state.name()));
            }
        }
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}

/// Everything on the fleet's dashboard, the database on the target's, the pod that is hurt on the pod's, or else one that lives.
fn view(range: Duration, state: Phase) -> View {
    let pod = if [Phase::RelayDown, Phase::Drained].contains(&state) { PODS[0].0 } else { PODS[1].0 };
    View::all(range, SCRAPE).with("pod", pod)
}

async fn ask(api: &Api, query: &Query, view: &View, time: f64) -> Result<Vec<Series>, String> {
    let view = if query.board == "telltail-target" { view.clone().with("target", DB) } else { view.clone() };
    let expr = view.expand(&query.expr, query.points);
    if query.instant {
        return api.at(&expr, time).await;
    }
    api.range(&expr, time - view.range.as_secs_f64(), time, view.step(query.points)).await
}

fn place(query: &Query) -> String {
    format!("{} / {} / {}", query.board, query.panel, query.reference)
}

fn recorded(query: &Query, state: Option<Phase>, time: f64, series: &[Series]) -> Value {
    // JSON knows no NaN; null is a gap.
    let series: Vec<_> =
        series.iter().map(|series| json!({"labels": series.labels, "points": series.points})).collect();
    json!({"board": query.board, "panel": query.panel, "ref": query.reference, "state": state.map(Phase::name), "time": time,
           "series": series})
}
