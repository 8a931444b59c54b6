//! Panels: that each has what it needs, and a place of its own.

use serde_json::{Value, json};
use telltail_watch::dashboard::{Dashboard, text};

const COLUMNS: u64 = 24;

pub fn problems(board: &Dashboard) -> Vec<String> {
    let mut problems: Vec<_> = board
        .panels()
        .flat_map(|panel| {
            lacks(panel)
                .into_iter()
                .map(str::to_owned)
                .chain(strays(panel))
                .map(|what| format!("'{}': {what}", text(&panel["title"])))
        })
        .collect();
    let all: Vec<_> = board.list("/panels").collect();
    for (index, panel) in all.iter().enumerate() {
        let area = Area::of(panel);
        if area.right() > COLUMNS || area.w == 0 || area.h == 0 {
            problems.push(format!("'{}' reaches beyond the grid", text(&panel["title"])));
        }
        for other in &all[index + 1..] {
            if area.overlaps(&Area::of(other)) {
                problems.push(format!("'{}' and '{}' overlap", text(&panel["title"]), text(&other["title"])));
            }
            if panel["id"] == other["id"] {
                problems.push(format!("two panels have the id {}", panel["id"]));
            }
            if panel["title"] == other["title"] {
                problems.push(format!("two panels are called {}", panel["title"]));
            }
        }
    }
    problems
}

fn lacks(panel: &Value) -> Vec<&'static str> {
    let defaults = &panel["fieldConfig"]["defaults"];
    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
    let coloured = !["stat", "state-timeline"].contains(&text(&panel["type"])) || defaults["thresholds"].is_object();
    let checks = [
        (!text(&panel["title"]).is_empty(), "no title"),
        (text(&panel["description"]).ends_with('.'), "the description is not a sentence"),
        (panel["datasource"] == source, "the data source is not the variable's"),
        (targets.iter().all(|target| target["datasource"] == source), "a query's data source is not the variable's"),
        (!targets.is_empty(), "no queries"),
        (targets.iter().all(|target| !text(&target["expr"]).trim().is_empty()), "no query"),
        (!text(&defaults["unit"]).is_empty(), "no unit"),
        (!text(&defaults["noValue"]).is_empty(), "does not say what no data means"),
        (coloured, "no thresholds"),
    ];
    checks.into_iter().filter(|(good, _)| !good).map(|(_, what)| what).collect()
}

/// Columns of a table that no query fills, and what is said of columns that it does not have.
fn strays(panel: &Value) -> Vec<String> {
    let Some(organize) = panel["transformations"].as_array().and_then(|steps| steps.last()) else { return Vec::new() };
    let columns: Vec<_> = keys(&organize["options"]["indexByName"]);
    let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
    let values: Vec<_> = match targets {
        [_] => vec!["Value".to_owned()],
        many => many.iter().map(|target| format!("Value #{}", text(&target["refId"]))).collect(),
    };
    let empty = columns.iter().filter(|column| column.starts_with("Value") && !values.contains(column));
    let mut problems: Vec<_> = empty.map(|column| format!("no query fills the column {column}")).collect();
    let renamed = &organize["options"]["renameByName"];
    let shown: Vec<_> = columns.iter().map(|column| renamed[column].as_str().unwrap_or(column)).collect();
    let overrides = panel["fieldConfig"]["overrides"].as_array().into_iter().flatten();
    let named = overrides.map(|of| text(&of["matcher"]["options"])).filter(|name| !shown.contains(name));
    problems.extend(named.map(|name| format!("there is no column {name}")));
    problems
}

fn keys(object: &Value) -> Vec<String> {
    object.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

struct Area {
    x: u64,
    y: u64,
    w: u64,
    h: u64,
}

impl Area {
    fn of(panel: &Value) -> Self {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap_or_default());
        Self { x, y, w, h }
    }

    fn right(&self) -> u64 {
        self.x + self.w
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.y + other.h && other.y < self.y + self.h
    }
}
