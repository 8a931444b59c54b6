//! How long each query of the dashboards takes, and how many series it shows, on a Prometheus that runs.
//!
//! ```sh
//! cargo run --release -p telltail-watch --example synthetic -- --pods 1000 --outage --hold
//! cargo run --release -p telltail-watch --example panels -- PORT
//! ```
//!
//! Six hours, as the dashboards open; the median of five times, slowest first.

#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use telltail_watch::{
    board::{Board, Query},
    grafana::View,
    prometheus::Api,
};
use tokio::time::Instant;

const TIMES: usize = 5;
const RANGE: Duration = Duration::from_secs(6 * 3600);
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
    for query in Board::all().iter().flat_map(Board::queries) {
        let view = View::all(RANGE, SCRAPE).with("pod", &pod);
        let view = if query.board == "telltail-target" { view.with("target", &target) } else { view };
        let mut times = Vec::new();
        let mut series = 0;
        for _ in 0..TIMES {
            let begun = Instant::now();
            series = ask(&api, &query, &view).await?;
            times.push(begun.elapsed());
        }
        times.sort();
        rows.push((times[TIMES / 2], series, query));
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
        api.range(&expr, now - RANGE.as_secs_f64(), now, view.step(query.points)).await
    };
    answer.map(|series| series.len()).map_err(|error| format!("{} / {}: {error}", query.board, query.panel))
}
