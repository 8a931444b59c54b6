//! One question to MagicDNS, in TUN mode.
//!
//! hickory's `Resolver` is left aside for its transport beneath. With every setting turned down the `Resolver` still
//! asks more than once: `attempts` counts repetitions, so that 1 means two questions (after SERVFAIL, too), UDP packets
//! are sent again after 333 ms, and a CNAME leads to seven further questions. It would also bring a cache that is never
//! used. Here each lookup is one packet from a port of its own: no cache, no hosts file, no search list, no TCP.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, Name, RecordType};

use crate::reason::{Failure, Reason};

/// MagicDNS answers from memory within a millisecond; this leaves room for a pod that is starved of CPU, and leaves most
/// of the probe's own deadline to the other stages.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Most addresses that are looked at; a node has two.
const MAX_ADDRESSES: usize = 16;

/// A resolver that asks one server.
#[derive(Clone, Copy, Debug)]
pub struct MagicDns {
    server: SocketAddr,
}

impl MagicDns {
    /// Asks `server`, which is 100.100.100.100:53 outside tests.
    pub const fn new(server: SocketAddr) -> Self {
        Self { server }
    }

    /// The IPv4 (or IPv6) addresses of a fully qualified name; never an empty list.
    pub async fn addresses(&self, fqdn: &str, v6: bool) -> Result<Vec<IpAddr>, Failure> {
        let mut name = Name::from_ascii(fqdn).map_err(|error| failed(format_args!("not a DNS name: {error}")))?;
        name.set_fqdn(true);
        let kind = if v6 { RecordType::AAAA } else { RecordType::A };
        let mut options = DnsRequestOptions::default();
        // What it is good for is told apart by the port and the id; tailscaled would answer in the case that was asked.
        options.case_randomization = false;

        // The task behind the exchange belongs to this provider and ends with it.
        let runtime = TokioRuntimeProvider::new();
        let exchange = UdpClientStream::builder(self.server, runtime.clone())
            .with_timeout(Some(TIMEOUT))
            .with_max_retries(1)
            // A port of our own choice could be one that another program of the pod is about to take.
            .with_os_port_selection(true)
            .exchange();
        let answer = exchange.lookup(Query::query(name.clone(), kind), options).first_answer().await;
        read(answer.and_then(|answer| Ok(DnsError::from_response(answer)?)), &name)
    }
}

/// The addresses in an answer that belong to the name itself.
fn read(answer: Result<DnsResponse, NetError>, name: &Name) -> Result<Vec<IpAddr>, Failure> {
    let answer = answer.map_err(|error| failed(observed(&error)))?;
    if answer.truncation {
        return Err(failed("the answer is truncated"));
    }
    if answer.response_code != ResponseCode::NoError {
        return Err(failed(words(answer.response_code)));
    }
    let addresses: Vec<IpAddr> = answer
        .answers
        .iter()
        .filter(|record| record.name == *name && record.dns_class == DNSClass::IN)
        .filter_map(|record| record.data.ip_addr())
        .take(MAX_ADDRESSES)
        .collect();
    if addresses.is_empty() {
        return Err(failed("the answer holds no address of this name"));
    }
    Ok(addresses)
}

/// What was seen instead of an answer.
fn observed(error: &NetError) -> String {
    if let NetError::Dns(DnsError::ResponseCode(code)) = error {
        words(*code)
    } else if let NetError::Dns(DnsError::NoRecordsFound(none)) = error {
        match none.response_code == ResponseCode::NXDomain {
            true => words(none.response_code),
            false => "the answer is empty".to_owned(),
        }
    } else if let NetError::Timeout = error {
        format!("no answer within {} s", TIMEOUT.as_secs())
    } else if let NetError::Proto(error) = error {
        format!("the answer is malformed: {error}")
    } else {
        error.to_string()
    }
}

/// A response code as resolvers and their manuals write it.
fn words(code: ResponseCode) -> String {
    format!("the answer is {}", format!("{code:?}").to_ascii_uppercase())
}

fn failed(cause: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::ResolveDnsFailed, format_args!("MagicDNS: {cause}"))
}
