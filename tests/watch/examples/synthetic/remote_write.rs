//! Prometheus' remote write, spoken by hand: a protobuf message in a snappy block that compresses nothing.

use std::ops::Range;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Series with their samples.
pub struct Series {
    /// Labels, `__name__` among them, sorted.
    pub labels: Vec<(String, String)>,
    /// Values by seconds since 1970.
    pub samples: Vec<(u64, f64)>,
}

impl Series {
    /// A series whose value is a function of the time.
    pub fn new(mut labels: Vec<(String, String)>, times: Range<u64>, step: u64, value: impl Fn(u64) -> f64) -> Self {
        labels.sort();
        Self {
            labels,
            samples: times.step_by(usize::try_from(step).expect("small")).map(|at| (at, value(at))).collect(),
        }
    }
}

/// A Prometheus that takes what is written.
pub struct Receiver {
    address: String,
}

impl Receiver {
    pub fn new(url: &str) -> Self {
        Self { address: url.trim_start_matches("http://").to_owned() }
    }

    /// Writes series; panics if they are refused.
    pub async fn write(&self, series: &[Series]) {
        let mut message = Vec::new();
        for one in series {
            field(&mut message, 1, &time_series(one));
        }
        let body = uncompressed(&message);
        let headers = "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n";
        let answer = self
            .ask(&format!("POST /api/v1/write HTTP/1.0\r\n{headers}Content-Length: {}\r\n\r\n", body.len()), &body)
            .await;
        assert!(answer.contains(" 204 "), "{answer}");
    }

    /// The body at a path.
    pub async fn get(&self, path: &str) -> String {
        let answer = self.ask(&format!("GET {path} HTTP/1.0\r\n\r\n"), &[]).await;
        answer.split_once("\r\n\r\n").expect("a head and a body").1.to_owned()
    }

    async fn ask(&self, head: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).await.expect("Prometheus listens");
        stream.write_all(&[head.as_bytes(), body].concat()).await.expect("Prometheus reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("Prometheus answers");
        answer
    }
}

fn time_series(series: &Series) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in &series.labels {
        let mut label = Vec::new();
        field(&mut label, 1, name.as_bytes());
        field(&mut label, 2, value.as_bytes());
        field(&mut bytes, 1, &label);
    }
    for (at, value) in &series.samples {
        let mut sample = vec![1 << 3 | 1];
        sample.extend(value.to_le_bytes());
        sample.push(2 << 3);
        varint(&mut sample, at * 1000);
        field(&mut bytes, 2, &sample);
    }
    bytes
}

fn field(into: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    into.push(number << 3 | 2);
    varint(into, bytes.len() as u64);
    into.extend(bytes);
}

fn varint(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// A snappy block of literals, each with its length less one in four bytes.
fn uncompressed(bytes: &[u8]) -> Vec<u8> {
    let mut block = Vec::with_capacity(bytes.len() + 16);
    varint(&mut block, bytes.len() as u64);
    for chunk in bytes.chunks(1 << 24) {
        block.push(63 << 2);
        block.extend(u32::try_from(chunk.len() - 1).expect("at most 16 MiB").to_le_bytes());
        block.extend(chunk);
    }
    block
}
