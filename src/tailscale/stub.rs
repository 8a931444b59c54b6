//! stub
use super::Dialer;
use crate::reason::Failure;
use std::net::IpAddr;
use std::time::Duration;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingKind {
    Disco,
    Tsmp,
}
#[derive(Clone, Debug, PartialEq)]
pub struct Pong {
    pub latency: Duration,
    pub way: Way,
    pub node: Option<IpAddr>,
}
#[derive(Clone, Debug, PartialEq)]
pub enum Way {
    Direct,
    PeerRelay,
    Derp { region_id: u32, region_code: String },
    Untold,
}
#[derive(Clone, Debug, PartialEq)]
pub struct Warning {
    pub code: String,
    pub severity: String,
}
impl Dialer {
    pub async fn ping(&self, _a: IpAddr, _k: PingKind, _s: Option<u16>) -> Result<Pong, Failure> {
        std::future::pending().await
    }
}
impl Warning {
    pub fn code(&self) -> &str {
        &self.code
    }
    pub fn severity(&self) -> &str {
        &self.severity
    }
}
