//! One DNS query: to MagicDNS in TUN mode, and for the doctor to the pod's name servers.
//!
//! This uses hickory's transport, not its `Resolver`. With every setting turned down the `Resolver` still sends several
//! queries: `attempts` counts repetitions, so that 1 means two queries (after SERVFAIL, too), UDP packets are sent again
//! after 333 ms, and a CNAME leads to seven more queries. It would also bring a cache that is never used. Here each lookup
//! is one packet from a port of its own: no cache, no hosts file, no search list, no TCP.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, Name, Record, RecordType};

use super::dns_socket::DnsRuntime;
use crate::reason::{Failure, Reason};
use crate::shortage::is_own_shortage;
use crate::tailscale::{MAGIC_DNS_IPV4, MAGIC_DNS_IPV6};

/// MagicDNS answers from memory within a millisecond. This allows for a pod that is short of CPU, and leaves most of the
/// probe's timeout to the other stages.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The cause of a lookup that found no address of the family.
const EMPTY: &str = "the answer is empty";

/// Most addresses that are used; a node has two.
const MAX_ADDRESSES: usize = 16;

/// A client of MagicDNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MagicDns {
    ipv4: SocketAddr,
    ipv6: SocketAddr,
}

/// MagicDNS of a real tailnet.
pub const MAGIC_DNS: MagicDns = MagicDns {
    ipv4: SocketAddr::new(IpAddr::V4(MAGIC_DNS_IPV4), 53),
    ipv6: SocketAddr::new(IpAddr::V6(MAGIC_DNS_IPV6), 53),
};

impl MagicDns {
    /// A client of another server, for tests.
    pub const fn at(server: SocketAddr) -> Self {
        Self { ipv4: server, ipv6: server }
    }

    /// Is this the address of the server?
    pub fn is_at(&self, address: IpAddr) -> bool {
        self.ipv4.ip() == address || self.ipv6.ip() == address
    }

    /// Looks up the IPv4 (or IPv6) addresses of a fully qualified name; never an empty list. A node without an IPv4
    /// address of its own has no route to the server's.
    pub async fn addresses(&self, fqdn: &str, v6: bool, own_ipv4: bool) -> Result<Vec<IpAddr>, Failure> {
        let name = absolute(fqdn).map_err(|cause| failure(Reason::ResolveDnsFailed, cause))?;
        let server = if own_ipv4 { self.ipv4 } else { self.ipv6 };
        let response = query(server, &name, v6).await.map_err(|(reason, cause)| failure(reason, cause))?;
        let same_name = |record: &&Record| record.name == name;
        let addresses: Vec<IpAddr> = addresses(response.answers.iter().filter(same_name)).collect();
        if addresses.is_empty() {
            return Err(failure(Reason::ResolveDnsFailed, "the answer holds no address of this name"));
        }
        Ok(addresses)
    }
}

/// Looks a name up at any server and follows aliases in its response, as other programs of the pod do.
pub(super) async fn look_up(server: SocketAddr, name: &str, v6: bool) -> Result<Vec<IpAddr>, String> {
    let response = query(server, &absolute(name)?, v6).await.map_err(|(_, cause)| cause)?;
    let addresses: Vec<IpAddr> = addresses(response.answers.iter()).collect();
    if addresses.is_empty() { Err(EMPTY.to_owned()) } else { Ok(addresses) }
}

/// Does this cause of a failed [`look_up`] say that a server answered, whatever it was?
pub(super) fn is_answered(cause: &str) -> bool {
    cause.starts_with("the answer is ")
}

/// Does it say that the name does not exist, or has no address? Another server would not know better.
pub(super) fn is_conclusive(cause: &str) -> bool {
    cause == EMPTY || cause == describe_code(ResponseCode::NXDomain)
}

fn absolute(name: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(name).map_err(|error| format!("not a DNS name: {error}"))?;
    name.set_fqdn(true);
    Ok(name)
}

/// Sends one query; the error describes what was received instead of a valid response, with the reason for the failure of a
/// probe.
async fn query(server: SocketAddr, name: &Name, v6: bool) -> Result<DnsResponse, (Reason, String)> {
    let kind = if v6 { RecordType::AAAA } else { RecordType::A };
    let mut options = DnsRequestOptions::default();
    // It protects against off-path forgery, which a server in the same pod does not face.
    options.case_randomization = false;

    // Owns the task behind the exchange and ends it.
    let runtime = DnsRuntime(TokioRuntimeProvider::new());
    let exchange = UdpClientStream::builder(server, runtime.clone())
        .with_timeout(Some(TIMEOUT))
        .with_max_retries(1)
        // A port of hickory's choice could be one that another program of the pod is about to bind.
        .with_os_port_selection(true)
        .exchange();
    let response = exchange.lookup(Query::query(name.clone(), kind), options).first_answer().await;
    let response = response.and_then(|response| Ok(DnsError::from_response(response)?));
    let reason = match &response {
        Err(NetError::Io(error)) if is_not_sent(error) => Reason::NodeOutOfResources,
        Ok(_) | Err(_) => Reason::ResolveDnsFailed,
    };
    check(response).map_err(|cause| (reason, cause))
}

/// Could a query not be sent, because telltail or the pod has run out of something? A port that the system chooses is only in use
/// (bind), or not to be had now (connect), if all are.
fn is_not_sent(error: &io::Error) -> bool {
    is_own_shortage(error) || matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::WouldBlock)
}

/// A complete response without an error.
fn check(response: Result<DnsResponse, NetError>) -> Result<DnsResponse, String> {
    let response = response.map_err(|error| describe(&error))?;
    if response.truncation {
        return Err("the answer is truncated".to_owned());
    }
    if response.response_code != ResponseCode::NoError {
        return Err(describe_code(response.response_code));
    }
    Ok(response)
}

fn addresses<'a>(records: impl Iterator<Item = &'a Record>) -> impl Iterator<Item = IpAddr> {
    let internet = records.filter(|record| record.dns_class == DNSClass::IN);
    internet.filter_map(|record| record.data.ip_addr()).take(MAX_ADDRESSES)
}

/// Describes what was received instead of a valid response.
fn describe(error: &NetError) -> String {
    if let NetError::Dns(DnsError::ResponseCode(code)) = error {
        describe_code(*code)
    } else if let NetError::Dns(DnsError::NoRecordsFound(none)) = error {
        match none.response_code == ResponseCode::NXDomain {
            true => describe_code(none.response_code),
            false => EMPTY.to_owned(),
        }
    } else if let NetError::Timeout = error {
        format!("no answer within {} s", TIMEOUT.as_secs())
    } else if let NetError::Proto(error) = error {
        format!("the answer is malformed: {error}")
    } else {
        error.to_string()
    }
}

/// A response code by the name that resolvers and their manuals use.
fn describe_code(code: ResponseCode) -> String {
    format!("the answer is {}", format!("{code:?}").to_ascii_uppercase())
}

fn failure(reason: Reason, cause: impl std::fmt::Display) -> Failure {
    Failure::new(reason, format_args!("MagicDNS: {cause}"))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;
    use tokio::net::UdpSocket;
    use tokio::task::JoinSet;
    use tokio::time::Instant;

    use super::*;

    const NAME: &str = "stackeye-db-prd.tail1234.ts.net";

    /// Header and question of a response to this query, with a response code and a number of records.
    fn answer(question: &[u8], code: u8, records: u16) -> Vec<u8> {
        let mut end = 12;
        while question[end] != 0 {
            end += 1 + usize::from(question[end]);
        }
        let mut answer = question[..end + 5].to_vec();
        answer[2..12].copy_from_slice(&[0x85, 0x80 | code, 0, 1, 0, 0, 0, 0, 0, 0]);
        answer[6..8].copy_from_slice(&records.to_be_bytes());
        answer
    }

    /// A record of the queried name.
    fn record(kind: u8, ttl: u32, data: &[u8]) -> Vec<u8> {
        let mut record = vec![0xc0, 12, 0, kind, 0, 1];
        record.extend_from_slice(&ttl.to_be_bytes());
        record.extend_from_slice(&u16::try_from(data.len()).expect("short data").to_be_bytes());
        record.extend_from_slice(data);
        record
    }

    fn with(mut answer: Vec<u8>, rest: &[u8]) -> Vec<u8> {
        answer.extend_from_slice(rest);
        answer
    }

    type Responder = Box<dyn Fn(&[u8]) -> Vec<Vec<u8>> + Send>;

    /// Queries a server with these responses; the result and the number of queries that it received.
    async fn query_server(v6: bool, respond: Responder) -> (Result<Vec<IpAddr>, Failure>, usize) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let server = MagicDns::at(socket.local_addr().expect("an address"));
        let queries = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&queries);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut question = [0; 1500];
            loop {
                let (length, from) = socket.recv_from(&mut question).await.expect("a socket");
                seen.fetch_add(1, Ordering::Relaxed);
                for answer in respond(&question[..length]) {
                    socket.send_to(&answer, from).await.expect("a socket");
                }
            }
        });
        let result = server.addresses(NAME, v6, true).await;
        // A second query would have arrived by now.
        tokio::time::sleep(Duration::from_millis(20)).await;
        (result, queries.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn addresses_come_from_one_query() {
        let (result, queries) =
            query_server(false, Box::new(|q| vec![with(answer(q, 0, 1), &record(1, 5, &[100, 64, 0, 2]))])).await;
        assert_eq!((result, queries), (Ok(vec![IpAddr::V4(Ipv4Addr::new(100, 64, 0, 2))]), 1));

        let ip: Ipv6Addr = "fd7a:115c:a1e0::2".parse().expect("an address");
        let respond: Responder = Box::new(move |q| vec![with(answer(q, 0, 1), &record(28, 5, &ip.octets()))]);
        assert_eq!(query_server(true, respond).await, (Ok(vec![IpAddr::V6(ip)]), 1));
    }

    #[tokio::test]
    async fn the_query_has_no_extensions() {
        let respond: Responder = Box::new(|q| {
            let name = b"\x0fstackeye-db-prd\x08tail1234\x02ts\x03net\0\0\x01\0\x01";
            let plain = q[2..6] == [1, 0, 0, 1] && q[12..].starts_with(name);
            vec![if plain { with(answer(q, 0, 1), &record(1, 0, &[100, 64, 0, 2])) } else { answer(q, 5, 0) }]
        });
        let (result, queries) = query_server(false, respond).await;
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(queries, 1);
    }

    #[tokio::test]
    #[expect(clippy::too_many_lines, reason = "one row per fault")]
    async fn every_response_without_an_address_has_its_cause_after_one_query() {
        let cname = b"\x05other\x04tail\x02ts\x03net\0";
        let rows: Vec<(&str, Responder, &str)> = vec![
            ("SERVFAIL", Box::new(|q| vec![answer(q, 2, 0)]), "the answer is SERVFAIL"),
            ("NXDOMAIN", Box::new(|q| vec![answer(q, 3, 0)]), "the answer is NXDOMAIN"),
            ("REFUSED", Box::new(|q| vec![answer(q, 5, 0)]), "the answer is REFUSED"),
            ("NOTIMP", Box::new(|q| vec![answer(q, 4, 0)]), "the answer is NOTIMP"),
            ("FORMERR", Box::new(|q| vec![answer(q, 1, 0)]), "the answer is FORMERR"),
            ("a code nobody knows", Box::new(|q| vec![answer(q, 15, 0)]), "UNKNOWN(15)"),
            ("empty", Box::new(|q| vec![answer(q, 0, 0)]), "the answer is empty"),
            ("echo", Box::new(|q| vec![q.to_vec()]), "malformed"),
            (
                "CNAME alone",
                Box::new(move |q| vec![with(answer(q, 0, 1), &record(5, 5, cname))]),
                "no address of this name",
            ),
            (
                "NXDOMAIN with an address",
                Box::new(|q| vec![with(answer(q, 3, 1), &record(1, 5, &[100, 64, 0, 2]))]),
                "NXDOMAIN",
            ),
            (
                "another class",
                Box::new(|q| {
                    let mut record = record(1, 5, &[100, 64, 0, 2]);
                    record[5] = 3;
                    vec![with(answer(q, 0, 1), &record)]
                }),
                "no address of this name",
            ),
            (
                "another name's address",
                Box::new(move |q| {
                    let other = [&cname[..], &[0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 192, 0, 2, 1]].concat();
                    vec![with(answer(q, 0, 1), &other)]
                }),
                "no address of this name",
            ),
            (
                "truncated",
                Box::new(|q| {
                    let mut answer = with(answer(q, 0, 1), &record(1, 5, &[100, 64, 0, 2]));
                    answer[2] |= 2;
                    vec![answer]
                }),
                "truncated",
            ),
            ("nothing behind the id", Box::new(|q| vec![q[..2].to_vec()]), "malformed"),
            ("half a record", Box::new(|q| vec![with(answer(q, 0, 1), &[0xc0, 12, 0, 1])]), "malformed"),
            (
                "too many promised",
                Box::new(|q| vec![with(answer(q, 0, 9), &record(1, 5, &[100, 64, 0, 2]))]),
                "malformed",
            ),
            ("wrong length", Box::new(|q| vec![with(answer(q, 0, 1), &record(1, 5, &[100, 64, 0]))]), "malformed"),
            (
                "a pointer to itself",
                Box::new(|q| {
                    let answer = answer(q, 0, 1);
                    let at = u8::try_from(answer.len()).expect("a short question");
                    vec![with(answer, &[0xc0, at, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 100, 64, 0, 2])]
                }),
                "malformed",
            ),
        ];
        for (name, respond, cause) in rows {
            let (result, queries) = query_server(false, respond).await;
            let failure = result.expect_err(name);
            assert_eq!(failure.reason, Reason::ResolveDnsFailed);
            assert!(failure.cause.starts_with("MagicDNS: ") && failure.cause.contains(cause), "{name}: {failure}");
            assert_eq!(queries, 1, "{name}");
        }
    }

    #[tokio::test]
    async fn forged_responses_are_ignored_and_any_ttl_is_accepted() {
        let respond: Responder = Box::new(|q| {
            let good = with(answer(q, 0, 1), &record(1, u32::MAX, &[100, 64, 0, 2]));
            let mut forged = with(answer(q, 0, 1), &record(1, 5, &[192, 0, 2, 1]));
            forged[0] ^= 1;
            let mut other_question = with(answer(q, 0, 1), &record(1, 5, &[192, 0, 2, 2]));
            other_question[13] = b'x';
            // It would make hickory reserve 5.8 MB, and is no answer to one question.
            let mut questions = good.clone();
            questions[4..6].copy_from_slice(&[0xff, 0xff]);
            vec![vec![], vec![7], forged, other_question, questions, good]
        });
        assert_eq!(query_server(false, respond).await, (Ok(vec![IpAddr::V4(Ipv4Addr::new(100, 64, 0, 2))]), 1));
    }

    #[tokio::test]
    async fn the_number_of_addresses_is_bounded() {
        let respond: Responder = Box::new(|q| {
            let records: Vec<u8> = (0..70).flat_map(|n| record(1, 5, &[100, 64, 1, n])).collect();
            vec![with(answer(q, 0, 70), &records)]
        });
        let (result, queries) = query_server(false, respond).await;
        assert_eq!((result.map(|addresses| addresses.len()), queries), (Ok(MAX_ADDRESSES), 1));
    }

    #[tokio::test]
    async fn a_silent_server_times_out_after_one_query() {
        let start = Instant::now();
        let (result, queries) = query_server(false, Box::new(|_| vec![])).await;
        assert!(result.expect_err("silence").cause.contains("no answer within 1 s"));
        assert_eq!(queries, 1);
        assert!(start.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test]
    async fn a_flood_of_forged_responses_times_out() {
        let start = Instant::now();
        let respond: Responder = Box::new(|q| {
            let mut forged = answer(q, 0, 0);
            forged[0] ^= 1;
            vec![forged; 5000]
        });
        let (result, queries) = query_server(false, respond).await;
        assert!(result.expect_err("no answer").cause.contains("no answer within 1 s"));
        assert_eq!(queries, 1);
        assert!(start.elapsed() < Duration::from_secs(3));
    }

    #[tokio::test]
    async fn an_invalid_name_is_not_queried() {
        let server = MagicDns::at("127.0.0.1:9".parse().expect("an address"));
        for name in [&"a".repeat(64), &"a.".repeat(200), "a..b", "na me\0.net"] {
            let failure = server.addresses(name, false, true).await.expect_err("not a name");
            assert_eq!(failure.reason, Reason::ResolveDnsFailed, "{failure}");
        }
    }

    proptest! {
        #[test]
        fn no_response_panics(
            junk in proptest::collection::vec(any::<u8>(), 0..400),
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let question = [&[7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x02db\x02ts\x03net\0\0\x01\0\x01"].concat();
            let mut close_to_right = with(answer(&question, 0, 2), &record(1, 5, &[100, 64, 0, 2]));
            close_to_right.extend(record(5, 5, b"\x02db\xc0\x0f"));
            for (at, byte) in edits {
                let at = at.index(close_to_right.len());
                close_to_right[at] = byte;
            }
            for bytes in [close_to_right, junk] {
                let answer = DnsResponse::from_buffer(bytes).map_err(NetError::from);
                let answer = check(answer.and_then(|answer| Ok(DnsError::from_response(answer)?)));
                match answer {
                    Ok(answer) => prop_assert!(addresses(answer.answers.iter()).count() <= MAX_ADDRESSES),
                    Err(cause) => {
                        let failure = failure(Reason::ResolveDnsFailed, cause);
                        prop_assert!(failure.cause.is_ascii() && failure.cause.len() <= 200);
                    }
                }
            }
        }
    }
}
