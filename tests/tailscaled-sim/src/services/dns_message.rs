//! Questions and answers of DNS, as far as addresses need them.

use std::net::IpAddr;

use bytes::Bytes;

pub(crate) const NOERROR: u8 = 0;
const SERVFAIL: u8 = 2;
/// Longer answers are cut short over UDP, as without EDNS.
const LONGEST_UDP: usize = 512;

/// How the name server treats questions.
#[derive(Clone, Debug)]
pub enum DnsConduct {
    /// From its records; SERVFAIL for what it does not know, as MagicDNS without an upstream.
    Work,
    /// This response code (1 FORMERR, 2 SERVFAIL, 3 NXDOMAIN, 4 NOTIMP, 5 REFUSED) and no records.
    Code(u8),
    /// Nothing.
    Silent,
    /// "Truncated" over UDP; works over TCP.
    Truncated,
    /// "Truncated" over UDP; silent over TCP.
    TruncatedSilentTcp,
    /// These bytes behind the question's id.
    Garbage(Bytes),
    /// Answers another question's id.
    WrongId,
    /// Answers a question nobody asked.
    WrongQuestion,
    /// A record whose name points to itself.
    PointerLoop,
    /// More records announced than there are.
    LyingCount,
    /// An alias for itself.
    AliasLoop,
}

/// A question: its name in plain, its type, and its bytes.
pub(crate) struct Question<'a> {
    pub(crate) name: String,
    pub(crate) kind: u16,
    pub(crate) bytes: &'a [u8],
}

pub(crate) fn parse(message: &[u8]) -> Option<Question<'_>> {
    let (mut at, mut labels) = (12, Vec::new());
    while *message.get(at)? != 0 {
        let length = usize::from(message[at]);
        labels.push(String::from_utf8_lossy(message.get(at + 1..at + 1 + length)?).into_owned());
        at += 1 + length;
    }
    let kind = u16::from_be_bytes(message.get(at + 1..at + 3)?.try_into().ok()?);
    Some(Question { name: plain(&labels.join(".")), kind, bytes: message.get(12..at + 5)? })
}

pub(crate) fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

pub(crate) fn reply(id: [u8; 2], question: &Question<'_>, found: Option<&[IpAddr]>, ttl: u32, cut: bool) -> Vec<u8> {
    let Some(ips) = found else {
        return head(id, question.bytes, SERVFAIL, false, 0);
    };
    let wanted: Vec<_> = ips.iter().filter(|ip| question.kind == if ip.is_ipv6() { 28 } else { 1 }).collect();
    let mut reply = head(id, question.bytes, NOERROR, false, wanted.len());
    for ip in wanted {
        match ip {
            IpAddr::V4(ip) => record(&mut reply, 1, ttl, &ip.octets()),
            IpAddr::V6(ip) => record(&mut reply, 28, ttl, &ip.octets()),
        }
    }
    if cut && reply.len() > LONGEST_UDP { head(id, question.bytes, NOERROR, true, 0) } else { reply }
}

/// Header and question of an answer: authoritative, recursion available.
pub(crate) fn head(id: [u8; 2], question: &[u8], code: u8, cut: bool, records: usize) -> Vec<u8> {
    let flags = [0x85 | if cut { 2 } else { 0 }, 0x80 | code];
    let records = u16::try_from(records).unwrap_or(u16::MAX).to_be_bytes();
    [&id[..], &flags, &[0, 1], &records, &[0; 4], question].concat()
}

/// A record for the name in the question.
pub(crate) fn record(reply: &mut Vec<u8>, kind: u16, ttl: u32, data: &[u8]) {
    reply.extend([0xc0, 0x0c]);
    reply.extend(kind.to_be_bytes());
    reply.extend([0, 1]);
    reply.extend(ttl.to_be_bytes());
    reply.extend(u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    reply.extend(data);
}
