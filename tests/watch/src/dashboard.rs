//! The dashboards as they lie in `dashboards/`.

use serde_json::Value;
use std::{fs, path::Path};

use crate::{in_repository, read};

/// One dashboard.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// The file's name, without `.json`.
    pub name: String,
    /// What is in it.
    pub json: Value,
}

/// One query of a panel, or of the dashboard's annotations.
#[derive(Debug, Clone)]
pub struct Query {
    /// The dashboard's name.
    pub board: String,
    /// The panel's title.
    pub panel: String,
    /// The query's letter.
    pub reference: String,
    /// PromQL with Grafana's variables.
    pub expr: String,
    /// Asked for one moment instead of for a range.
    pub instant: bool,
    /// So many points are asked for at most.
    pub points: u64,
}

impl Dashboard {
    /// All of them, by name.
    ///
    /// # Panics
    ///
    /// If a file cannot be read or is no JSON.
    pub fn all() -> Vec<Self> {
        let files = fs::read_dir(in_repository("dashboards")).expect("the folder of the dashboards");
        let paths = files.map(|file| file.expect("a file").path());
        let mut boards: Vec<_> = paths
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .map(|path| Self::read(&path))
            .collect();
        boards.sort_by(|a, b| a.name.cmp(&b.name));
        boards
    }

    fn read(path: &Path) -> Self {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let json = serde_json::from_str(&read(&format!("dashboards/{name}.json")));
        Self { json: json.unwrap_or_else(|error| panic!("{name}: {error}")), name }
    }

    /// Every panel that shows something: rows are no panels.
    pub fn panels(&self) -> impl Iterator<Item = &Value> {
        self.list("/panels").filter(|panel| panel["type"] != "row")
    }

    /// The items of the list at this JSON pointer.
    pub fn list(&self, pointer: &str) -> impl Iterator<Item = &Value> {
        self.json.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
    }

    /// Every query of every panel, and those of the annotations.
    pub fn queries(&self) -> Vec<Query> {
        let of_panels = self.panels().flat_map(|panel| {
            let targets = panel["targets"].as_array().into_iter().flatten();
            targets.map(|target| self.query(text(&panel["title"]), target, panel["maxDataPoints"].as_u64()))
        });
        let of_annotations =
            self.list("/annotations/list").map(|annotation| self.query(text(&annotation["name"]), annotation, None));
        of_panels.chain(of_annotations).collect()
    }

    fn query(&self, panel: &str, target: &Value, points: Option<u64>) -> Query {
        Query {
            board: self.name.clone(),
            panel: panel.to_owned(),
            reference: text(&target["refId"]).to_owned(),
            expr: text(&target["expr"]).to_owned(),
            instant: target["instant"] == true,
            points: points.unwrap_or(1000),
        }
    }

    /// Name and query of each variable that is asked from Prometheus.
    pub fn variables(&self) -> Vec<(&str, &str)> {
        let asked = self.list("/templating/list").filter(|variable| variable["type"] == "query");
        asked.map(|variable| (text(&variable["name"]), text(&variable["query"]["query"]))).collect()
    }
}

/// The text of a value, or nothing.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
