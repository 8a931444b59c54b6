//! Every query of every panel and variable, in every state of the drill.

use std::{collections::BTreeMap, fs, time::Duration};

use serde_json::{Value, json};
use telltail_watch::{
    board::{Board, Query},
    grafana::{View, label_values},
    in_repository,
    prometheus::{Api, Series},
};

use crate::{
    State,
    stage::{DB, PODS, now},
};

/// More are never shown in one panel by one query, with four pods and two targets: the longest list is the reasons, of
/// which a few occur.
const MOST: usize = 31;
const SCRAPE: Duration = Duration::from_secs(1);
/// What is shown at a moment is judged by the last seconds, longer than what the hurried rules look back.
const MOMENT: Duration = Duration::from_secs(6);

/// What the panels showed, by state.
pub struct Shown {
    boards: Vec<Board>,
    began: f64,
    /// By panel and query: in which states there was something, and the most series.
    seen: BTreeMap<String, (Vec<State>, usize)>,
    record: Vec<Value>,
    problems: Vec<String>,
}

impl Shown {
    pub fn new() -> Self {
        let boards = Board::all();
        Self { boards, began: now(), seen: BTreeMap::new(), record: Vec::new(), problems: Vec::new() }
    }

    /// Asks for everything, as somebody would see it now.
    pub async fn look(&mut self, api: &Api, state: State) {
        let time = now();
        let view = view(MOMENT, state);
        for query in self.boards.iter().flat_map(Board::queries).collect::<Vec<_>>() {
            match ask(api, &query, &view, time).await {
                Ok(series) => self.keep(&query, state, time, &series),
                Err(error) => self.problems.push(format!("{}: {error}", place(&query))),
            }
        }
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

    fn keep(&mut self, query: &Query, state: State, time: f64, series: &[Series]) {
        let said = series.iter().filter(|series| series.points.iter().any(|(_, value)| !value.is_nan())).count();
        let (states, most) = self.seen.entry(place(query)).or_default();
        *most = (*most).max(series.len());
        if said > 0 {
            states.push(state);
        }
        if query.instant {
            self.record.push(recorded(query, Some(state), time, series));
        }
    }

    /// Writes what was seen, for `tests/watch/draw`: tables and figures at each state, graphs over the whole drill.
    pub async fn save(&mut self, api: &Api, marks: &[(f64, String)]) {
        let end = now();
        let view = view(Duration::from_secs_f64((end - self.began).ceil()), State::NodeDown);
        for query in self.boards.iter().flat_map(Board::queries).filter(|query| !query.instant).collect::<Vec<_>>() {
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
        let row = |(place, (states, most)): (&String, &(Vec<State>, usize))| {
            let marks = State::ALL.map(|state| if states.contains(&state) { "x" } else { "." }).join(" ");
            format!("{marks}  {most:>3}  {place}\n")
        };
        self.seen.iter().map(row).collect()
    }

    /// Panics with everything that was not as `expected` says.
    pub fn judge(&self, expected: impl Fn(&str) -> &'static [State]) {
        let mut problems = self.problems.clone();
        for (place, (states, most)) in &self.seen {
            let (wanted, shown) = (expected(place), states);
            let differ: Vec<_> =
                State::ALL.iter().filter(|state| wanted.contains(state) != shown.contains(state)).collect();
            if !differ.is_empty() {
                problems.push(format!("{place}: shows something in {shown:?}, and should in {wanted:?}"));
            }
            if *most > MOST {
                problems.push(format!("{place}: {most} series"));
            }
        }
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}

/// Everything on the fleet's dashboard, the database on the target's, the pod that is hurt on the pod's.
fn view(range: Duration, state: State) -> View {
    let pod = if state == State::Drained { PODS[0].0 } else { PODS[1].0 };
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

fn recorded(query: &Query, state: Option<State>, time: f64, series: &[Series]) -> Value {
    // JSON knows no NaN; null is a gap.
    let series: Vec<_> =
        series.iter().map(|series| json!({"labels": series.labels, "points": series.points})).collect();
    json!({"board": query.board, "panel": query.panel, "ref": query.reference, "state": state.map(State::name), "time": time,
           "series": series})
}
