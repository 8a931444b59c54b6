//! How long each query of the dashboards takes, and how many series it shows, on a Prometheus that runs.
//!
//! ```sh
//! cargo run -p telltail-watch --example synthetic -- --pods 1000 --hold
//! cargo run -p telltail-watch --example panels -- PORT
//! ```
//!
//! The least of five times, slowest first: the others tell of the machine's other work. What is asked for is as many points as for six hours, which is how the dashboards
//! open, but over the half hour that the synthetic fleet has behind it: a query's cost is that of its points.

#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use telltail_watch::{
    dashboard::{Dashboard, Query},
    grafana::View,
    prometheus::Api,
};
use tokio::time::Instant;

const TIMES: usize = 5;
const RANGE: Duration = Duration::from_secs(35 * 60);
/// The Prometheus operator's.
const SCRAPE: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), String> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).ok_or("usage: panels PORT")?;
    let api = Api::Loopback(port);
    let first = async |label| {
        let values = api.label_values("telltail_target_info", label).await?;
        values.into_iter().next().ok_or(format!("no telltail_target_info with a {label}"))
    };
    let (target, pod) = (first("target").await?, first("pod").await?);
    let mut rows = Vec::new();
    for query in Dashboard::all().iter().flat_map(Dashboard::queries) {
        let view = View::all(RANGE, SCRAPE).with("pod", &pod);
        let view = if query.board == "telltail-target" { view.with("target", &target) } else { view };
        let mut best = Duration::MAX;
        let mut series = 0;
        for _ in 0..TIMES {
            let begun = Instant::now();
            series = ask(&api, &query, &view).await?;
            best = best.min(begun.elapsed());
        }
        rows.push((best, series, query));
    }
    rows.sort_by_key(|(time, ..)| std::cmp::Reverse(*time));
    println!("{:>8}  {:>6}  dashboard / panel / query", "ms", "series");
    for (time, series, query) in rows {
        println!(
            "{:>8.1}  {series:>6}  {} / {} / {}",
            time.as_secs_f64() * 1000.0,
            query.board,
            query.panel,
            query.reference
        );
    }
    Ok(())
}

async fn ask(api: &Api, query: &Query, view: &View) -> Result<usize, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let expr = view.expand(&query.expr, query.points);
    let answer = if query.instant {
        api.at(&expr, now).await
    } else {
        let points = u32::try_from(query.points).unwrap_or(u32::MAX);
        api.range(&expr, now - RANGE.as_secs_f64(), now, RANGE / points).await
    };
    answer.map(|series| series.len()).map_err(|error| format!("{} / {}: {error}", query.board, query.panel))
}
