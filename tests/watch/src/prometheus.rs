//! Questions to a running Prometheus.

use serde_json::Value;
use std::{collections::BTreeMap, io, path::PathBuf, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

use crate::dashboard::text;

/// The API of a Prometheus.
#[derive(Debug, Clone)]
pub enum Api {
    /// Behind a Unix socket: in a network namespace, see the program `relay`.
    Socket(PathBuf),
    /// On this machine's loopback.
    Loopback(u16),
}

/// A series of an answer: its labels, and its points as time and value.
#[derive(Debug, Clone)]
pub struct Series {
    /// The labels, with `__name__`.
    pub labels: BTreeMap<String, String>,
    /// Unix time in seconds, and the value.
    pub points: Vec<(f64, f64)>,
}

impl Api {
    /// Evaluates a query for one moment: Unix time in seconds.
    ///
    /// # Errors
    ///
    /// Prometheus' own words.
    pub async fn at(&self, query: &str, time: f64) -> Result<Vec<Series>, String> {
        let data = self.ask(&format!("query?query={}&time={time}", encoded(query))).await?;
        Ok(series(&data))
    }

    /// Evaluates a query for a range.
    ///
    /// # Errors
    ///
    /// Prometheus' own words.
    pub async fn range(&self, query: &str, start: f64, end: f64, step: Duration) -> Result<Vec<Series>, String> {
        let step = step.as_secs_f64();
        let path = format!("query_range?query={}&start={start}&end={end}&step={step}", encoded(query));
        Ok(series(&self.ask(&path).await?))
    }

    /// The values of a label in the series that a selector finds.
    ///
    /// # Errors
    ///
    /// Prometheus' own words.
    pub async fn label_values(&self, selector: &str, label: &str) -> Result<Vec<String>, String> {
        let data = self.ask(&format!("label/{label}/values?match[]={}", encoded(selector))).await?;
        Ok(data.as_array().into_iter().flatten().map(|value| text(value).to_owned()).collect())
    }

    /// `data` of the answer to `/api/v1/PATH`.
    ///
    /// # Errors
    ///
    /// Prometheus' own words, or what became of the request.
    pub async fn ask(&self, path: &str) -> Result<Value, String> {
        let body = self.get(&format!("/api/v1/{path}")).await?;
        let answer: Value = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        if answer["status"] == "success" { Ok(answer["data"].clone()) } else { Err(text(&answer["error"]).to_owned()) }
    }

    /// The body of any page.
    ///
    /// # Errors
    ///
    /// What became of the request.
    pub async fn get(&self, page: &str) -> Result<String, String> {
        let answer = match self {
            Self::Socket(path) => exchange(UnixStream::connect(path).await, page).await,
            Self::Loopback(port) => exchange(TcpStream::connect(("127.0.0.1", *port)).await, page).await,
        };
        answer.map_err(|error| format!("{page}: {error}"))
    }
}

/// HTTP/1.0 spares us chunked bodies.
async fn exchange(stream: io::Result<impl AsyncRead + AsyncWrite + Unpin>, page: &str) -> io::Result<String> {
    let mut stream = stream?;
    stream.write_all(format!("GET {page} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

fn series(data: &Value) -> Vec<Series> {
    // A query whose result is a scalar has no series.
    let rows = data["result"].as_array().into_iter().flatten().filter(|row| row.is_object());
    rows.map(|row| {
        let labels = row["metric"].as_object().into_iter().flatten();
        let points = row["values"].as_array().map_or_else(|| vec![row["value"].clone()], Clone::clone);
        Series {
            labels: labels.map(|(name, value)| (name.clone(), text(value).to_owned())).collect(),
            points: points
                .iter()
                .filter_map(|point| Some((point[0].as_f64()?, text(&point[1]).parse().ok()?)))
                .collect(),
        }
    })
    .collect()
}

/// Percent-encoded.
fn encoded(query: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    query.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
