//! Reads the response to `status` chunk by chunk and keeps only the wanted peers and a few more, so that a tailnet of any size needs little
//! memory.

use super::LocalApi;
use super::call::{Call, CallGuard, invalid, invalid_http, timed_out};
use super::json_splitter::{JsonPart, JsonSplitter};
use super::malformed_json::MalformedJson;
use super::status::{ExtraRecord, Peer, SelfNode, Status, name, or_default};
use super::warning::login_error;
use crate::network_mode::NetworkMode;
use crate::reason::Failure;
use hyper::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Longest time for a whole `status`, reading included. tailscaled answers in under a millisecond; it blocks while it
/// starts.
const STATUS_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest response that is read: 38,000 peers take 46 MB.
const MAX_SIZE: usize = 256 << 20;

/// Selects the peers to keep. It sees what was read before: tailscaled writes the node, the suffix and the records before the
/// peers (the order of the fields in Go's `ipnstate.Status`).
pub type KeepPeer<'a> = &'a (dyn Fn(&Status, &Peer) -> bool + Sync);

impl LocalApi {
    /// Reads the node's status. With `peers`, it lists those that `keep` selects.
    pub async fn status(&mut self, peers: bool, keep: KeepPeer<'_>) -> Result<Status, Failure> {
        let observer = Arc::clone(&self.dialer.observer);
        let pending = CallGuard::new(&observer, Call::Status);
        let status = timeout(STATUS_TIMEOUT, self.read_status(peers, keep)).await;
        pending.finish(status.unwrap_or_else(|_| Err(timed_out(STATUS_TIMEOUT))))
    }

    async fn read_status(&mut self, peers: bool, keep: KeepPeer<'_>) -> Result<Status, Failure> {
        let path = if peers { "/localapi/v0/status" } else { "/localapi/v0/status?peers=false" };
        let (mut connection, mut body) = self.get(path).await?.expect(StatusCode::OK).await?.into_parts();
        let mut reader = StatusReader::new(keep);
        while let Some(chunk) = connection.chunk(&mut body).await.map_err(|error| invalid_http(&error))? {
            reader.feed(&chunk)?;
        }
        let status = reader.finish()?;
        self.kept = Some(connection);
        Ok(status)
    }
}

/// Takes a response chunk by chunk.
pub(super) struct StatusReader<'a> {
    splitter: JsonSplitter,
    status: Status,
    keep: KeepPeer<'a>,
}

impl<'a> StatusReader<'a> {
    /// A reader that keeps the peers that `keep` selects.
    pub fn new(keep: KeepPeer<'a>) -> Self {
        let wanted = &["Version", "TUN", "BackendState", "Health", "Self", "CurrentTailnet", "ExtraRecords"];
        Self { splitter: JsonSplitter::new(wanted), status: Status::default(), keep }
    }

    /// Takes the next chunk.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let Self { splitter, status, keep } = self;
        status.size += bytes.len();
        if status.size > MAX_SIZE {
            return Err(invalid(format_args!("the status is longer than {MAX_SIZE} bytes")));
        }
        let take = |part: JsonPart<'_>| match part {
            JsonPart::Field(key, value) => {
                status.set(key, value).map_err(|error| MalformedJson::value(&String::from_utf8_lossy(key), &error))
            }
            JsonPart::Peer(value) => {
                let peer: Option<Peer> =
                    serde_json::from_slice(value).map_err(|error| MalformedJson::value("a peer", &error))?;
                match peer {
                    Some(peer) if keep(status, &peer) => status.peers.push(peer),
                    Some(peer) => status.keep_other(peer),
                    None => {}
                }
                Ok(())
            }
            JsonPart::Skipped(..) | JsonPart::End => Ok(()),
        };
        splitter.feed(bytes, take).map_err(malformed)
    }

    /// The status, if the response was complete.
    pub fn finish(self) -> Result<Status, Failure> {
        self.splitter.finish().map_err(malformed)?;
        Ok(self.status)
    }
}

fn malformed(error: MalformedJson) -> Failure {
    invalid(format_args!("the status: {error}"))
}

#[derive(Deserialize)]
struct CurrentTailnet {
    #[serde(rename = "MagicDNSSuffix", default, deserialize_with = "name")]
    suffix: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct JsonRecord {
    #[serde(default, deserialize_with = "name")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    value: String,
}

impl Status {
    /// Reads a complete response with all its peers, for example a recorded one.
    pub fn read(response: &[u8]) -> Result<Self, Failure> {
        let mut reader = StatusReader::new(&|_, _| true);
        reader.feed(response)?;
        reader.finish()
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> serde_json::Result<()> {
        match key {
            b"Version" => self.version = serde_json::from_slice(value)?,
            b"TUN" => {
                let tun: bool = serde_json::from_slice(value)?;
                self.mode = if tun { NetworkMode::Tun } else { NetworkMode::Userspace };
            }
            b"BackendState" => self.backend_state = serde_json::from_slice(value)?,
            b"Health" => {
                let texts = serde_json::from_slice::<Option<Vec<String>>>(value)?.unwrap_or_default();
                self.login_error = login_error(&texts);
            }
            b"Self" => self.own = serde_json::from_slice::<Option<SelfNode>>(value)?.unwrap_or_default(),
            b"CurrentTailnet" => {
                let suffix = serde_json::from_slice::<Option<CurrentTailnet>>(value)?.map(|tailnet| tailnet.suffix);
                self.suffix = suffix.filter(|suffix| !suffix.is_empty());
            }
            _ => {
                let records = serde_json::from_slice::<Option<Vec<JsonRecord>>>(value)?.unwrap_or_default();
                // tailscaled answers for addresses alone, with or without a type (`dnsConfigForNetmap`), so TXT and CNAME records
                // are skipped.
                let addresses = records
                    .into_iter()
                    .filter_map(|record| Some(ExtraRecord { name: record.name, address: record.value.parse().ok()? }));
                self.extra_records = addresses.collect();
            }
        }
        Ok(())
    }
}
