//! `status`, on the wire and as telltail reads it.

use super::raw::{self, RawConnection};
use super::{SERVICE, SOON, Testbed, client, since};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::SystemTime;
use telltail::config::Host;
use telltail::network_mode::NetworkMode;
use telltail::node::Node;
use telltail::probe::resolve::resolve;
use telltail::reason::Reason;
use telltail::tailscale::Status;
use telltail_testkit::eventually;

/// As telltail's client reads it, with every peer.
async fn read(testbed: &impl Testbed) -> Status {
    client(testbed).status(true, &|_, _| true).await.unwrap_or_else(|failure| panic!("{failure}"))
}

/// Why telltail would dial nothing; none while the node is fine.
async fn fault(testbed: &impl Testbed) -> Option<Reason> {
    Node::of(&read(testbed).await, SystemTime::now()).fault.map(|fault| fault.reason)
}

/// The address that telltail connects to for this name.
async fn resolved(testbed: &impl Testbed, name: &str) -> Result<IpAddr, Reason> {
    let status = read(testbed).await;
    let resolution = resolve(&status, &Host::Name(name.to_owned()));
    resolution.dialable().map(|resolved| resolved.peer.address).map_err(|failure| failure.reason)
}

/// The peer in a status.
fn peer(status: &Value) -> &Value {
    let peers = status["Peer"].as_object().unwrap_or_else(|| panic!("no peers: {status:#}"));
    assert_eq!(peers.len(), 1, "{peers:#?}");
    peers.values().next().unwrap()
}

fn texts(value: &Value) -> Vec<&str> {
    let list = value.as_array().unwrap_or_else(|| panic!("no list: {value}"));
    list.iter().map(|text| text.as_str().unwrap()).collect()
}

fn is_past(time: &Value) -> bool {
    humantime::parse_rfc3339(time.as_str().unwrap()).unwrap() < SystemTime::now()
}

pub async fn names_its_release(testbed: &impl Testbed) {
    let answer = RawConnection::open(testbed.socket()).await.get("/localapi/v0/status").await;
    let version = answer.json()["Version"].as_str().unwrap().to_owned();
    assert!(version.starts_with(&format!("{}-t", testbed.version())), "{version}");
    assert_eq!(answer.header("Tailscale-Version"), Some(version.as_str()));
    let capability = match testbed.version() {
        "1.80.3" => "113",
        "1.102.5" => "142",
        other => panic!("add the capability version of {other}"),
    };
    assert_eq!(answer.header("Tailscale-Cap"), Some(capability));
    let status = read(testbed).await;
    assert_eq!((&status.version, status.tells_services()), (&version, since(testbed, 100)));
}

/// Exactly the fields of the release, so that new and removed ones are noticed.
pub async fn has_the_fields_of_its_release(testbed: &impl Testbed) {
    let status = raw::status(testbed).await;
    let fields = "Version TUN BackendState HaveNodeKey AuthURL TailscaleIPs Self Health MagicDNSSuffix CurrentTailnet \
                  CertDomains Peer User ClientVersion";
    assert_fields(testbed, &status, fields, &[(100, "ExtraRecords")]);
    assert_fields(testbed, &status["CurrentTailnet"], "Name MagicDNSSuffix MagicDNSEnabled", &[]);
    let fields = "ID PublicKey HostName DNSName OS UserID TailscaleIPs AllowedIPs Addrs CurAddr Relay RxBytes TxBytes \
                  Created LastWrite LastSeen LastHandshake Online ExitNode ExitNodeOption Active PeerAPIURL \
                  InNetworkMap InMagicSock InEngine";
    let later = [(84, "TaildropTarget"), (84, "NoFileSharingReason"), (86, "PeerRelay"), (100, "NodeID")];
    assert_fields(testbed, &status["Self"], fields, &later);
    assert_fields(testbed, peer(&status), fields, &later);
}

fn assert_fields(testbed: &impl Testbed, value: &Value, always: &str, later: &[(u32, &'static str)]) {
    // Control decides whether a node has any.
    const SOMETIMES: [&str; 3] = ["Capabilities", "CapMap", "Tags"];
    let later = later.iter().filter(|(minor, _)| since(testbed, *minor)).map(|(_, name)| *name);
    let want: BTreeSet<_> = always.split_whitespace().chain(later).collect();
    let have = value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(String::as_str);
    let have: BTreeSet<_> = have.filter(|name| !SOMETIMES.contains(name)).collect();
    assert_eq!(have, want, "{value:#}");
}

pub async fn describes_the_own_node(testbed: &impl Testbed) {
    let status = raw::status(testbed).await;
    assert_eq!(status["TUN"], testbed.tun());
    assert_eq!(status["BackendState"], "Running");
    assert_eq!((&status["HaveNodeKey"], &status["AuthURL"]), (&json!(true), &json!("")));
    assert_eq!(status["Health"], json!([]), "an empty list where all is well, not null");
    assert_eq!(status["CurrentTailnet"]["MagicDNSSuffix"], testbed.suffix(), "no dots at its ends");
    assert_eq!(status["MagicDNSSuffix"], testbed.suffix());
    let own = &status["Self"];
    assert_eq!(own["DNSName"], format!("worker.{}.", testbed.suffix()), "with a dot at its end");
    assert_eq!((&own["HostName"], &own["Online"]), (&json!("worker"), &json!(true)));
    assert_eq!(own["TailscaleIPs"], status["TailscaleIPs"]);
    let [v4, v6] = texts(&own["TailscaleIPs"])[..] else { panic!("two addresses: {own:#}") };
    assert!(v4.starts_with("100.") && v6.starts_with("fd7a:115c:a1e0:"), "{own:#}");
    assert!(own.get("KeyExpiry").is_none(), "a key that never expires");

    let read = read(testbed).await;
    assert_eq!((read.mode == NetworkMode::Tun, read.backend_state.as_str()), (testbed.tun(), "Running"));
    assert_eq!(read.suffix.as_deref(), Some(testbed.suffix()));
    assert_eq!(read.own.dns_name, format!("worker.{}", testbed.suffix()));
    assert_eq!((read.own.host_name.as_str(), read.own.online, read.own.key_expiry), ("worker", true, None));
    assert_eq!(read.own.addresses, [v4.parse::<IpAddr>().unwrap(), v6.parse().unwrap()]);
    assert_eq!(fault(testbed).await, None);
    assert_eq!(resolved(testbed, "worker").await, Err(Reason::ResolveRefused));
}

pub async fn describes_the_peer(testbed: &impl Testbed) {
    let status = raw::status(testbed).await;
    let key = status["Peer"].as_object().unwrap().keys().next().unwrap();
    let peer = peer(&status);
    assert_eq!(peer["PublicKey"], key.as_str());
    let hex = key.strip_prefix("nodekey:").unwrap();
    assert!(hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    assert_eq!(peer["DNSName"], format!("db.{}.", testbed.suffix()), "with a dot at its end");
    assert_eq!((&peer["HostName"], &peer["Online"]), (&json!("db"), &json!(true)));
    assert!(peer["ID"].as_str().is_some_and(|id| !id.is_empty()));
    assert_eq!(peer["NodeID"].is_i64(), since(testbed, 100));
    assert!(peer.get("Expired").is_none() && peer.get("KeyExpiry").is_none(), "omitted if empty");
    assert_eq!(peer["Addrs"], Value::Null, "the own node alone has some");
    let [v4, v6] = texts(&peer["TailscaleIPs"])[..] else { panic!("two addresses: {peer:#}") };
    assert_eq!(v4, testbed.peer().to_string());
    assert_eq!(texts(&peer["AllowedIPs"]), [format!("{v4}/32"), format!("{v6}/128")]);

    let read = read(testbed).await;
    assert_eq!(read.peers.len(), 1);
    assert_eq!((read.peers[0].dns_name.as_str(), read.peers[0].expired), (&*format!("db.{}", testbed.suffix()), false));
    assert_eq!(read.peers[0].addresses, [IpAddr::from(testbed.peer()), v6.parse().unwrap()]);
    for name in ["db".to_owned(), format!("db.{}", testbed.suffix())] {
        assert_eq!(resolved(testbed, &name).await, Ok(testbed.peer().into()), "{name}");
    }
    assert_eq!(resolved(testbed, "d").await, Err(Reason::ResolveNotInNetmap));
}

/// So that telltail, which reads the response piece by piece, knows the records when it decides which peers it keeps.
pub async fn puts_the_peers_last(testbed: &impl Testbed) {
    let answer = RawConnection::open(testbed.socket()).await.get("/localapi/v0/status").await;
    let at = |name: &str| answer.body.find(&format!("\n\t\"{name}\":"));
    let peers = at("Peer").unwrap();
    for name in ["Version", "TUN", "BackendState", "Health", "Self", "CurrentTailnet"] {
        assert!(at(name).is_some_and(|at| at < peers), "{name}");
    }
    assert!(at("ExtraRecords").is_none_or(|at| at < peers));
}

pub async fn omits_peers_on_request(testbed: &impl Testbed) {
    let mut connection = RawConnection::open(testbed.socket()).await;
    for (value, listed) in
        [("false", false), ("0", false), ("F", false), ("true", true), ("1", true), ("", true), ("nonsense", true)]
    {
        let status = connection.get(&format!("/localapi/v0/status?peers={value}")).await.json();
        assert_eq!(status["Peer"].is_object(), listed, "{value:?}");
        assert!(listed || status["Peer"].is_null(), "{value:?}");
        assert_eq!(status["Self"]["HostName"], "worker", "{value:?}");
    }
    let status = client(testbed).status(false, &|_, _| true).await.unwrap();
    assert_eq!((status.peers.len(), status.own.host_name.as_str()), (0, "worker"));
}

pub async fn serves_many_requests_on_a_connection(testbed: &impl Testbed) {
    let mut connection = RawConnection::open(testbed.socket()).await;
    for _ in 0..20 {
        let answer = connection.get("/localapi/v0/status").await;
        assert_eq!((answer.status, answer.header("RawConnection")), (200, None));
    }
    let mut client = client(testbed);
    for _ in 0..20 {
        client.status(true, &|_, _| true).await.unwrap();
    }
}

pub async fn has_no_records_without_services(testbed: &impl Testbed) {
    let status = raw::status(testbed).await;
    let want = since(testbed, 100).then_some(&Value::Null);
    assert_eq!(status.get("ExtraRecords"), want);
    assert_eq!(resolved(testbed, "pg").await, Err(Reason::ResolveNotInNetmap));
}

pub async fn reports_services(testbed: &impl Testbed) {
    let status = raw::status(testbed).await;
    let route = format!("{SERVICE}/32");
    assert!(texts(&peer(&status)["AllowedIPs"]).contains(&route.as_str()), "{status:#}");
    assert!(!texts(&peer(&status)["TailscaleIPs"]).contains(&&*SERVICE.to_string()), "{status:#}");
    let name = format!("pg.{}", testbed.suffix());
    if since(testbed, 100) {
        let [record] = &status["ExtraRecords"].as_array().unwrap()[..] else { panic!("one record: {status:#}") };
        assert_eq!(record["Value"], SERVICE.to_string());
        assert_eq!(record["Name"].as_str().unwrap().trim_end_matches('.'), name, "the dot is control's choice");
        assert_eq!(resolved(testbed, "pg").await, Ok(SERVICE.into()));
        assert_eq!(resolved(testbed, &name).await, Ok(SERVICE.into()));
    } else {
        assert_eq!(status.get("ExtraRecords"), None);
        assert_eq!(resolved(testbed, "pg").await, Err(Reason::ResolveServiceUnsupported));
    }
}

pub async fn shows_the_peer_offline(testbed: &impl Testbed) {
    let status = raw::status(testbed).await;
    assert_eq!(peer(&status)["Online"], false);
    assert_eq!(resolved(testbed, "db").await, Ok(testbed.peer().into()), "a hint, never a verdict");
}

pub async fn still_lists_the_peer(testbed: &impl Testbed) {
    let status = raw::status(testbed).await;
    assert_eq!(peer(&status)["Online"], true, "nobody is told");
    assert_eq!(resolved(testbed, "db").await, Ok(testbed.peer().into()));
}

pub async fn lists_no_peer(testbed: &impl Testbed) {
    assert_eq!(raw::status(testbed).await["Peer"], Value::Null);
    assert_eq!(fault(testbed).await, None);
    assert_eq!(resolved(testbed, "db").await, Err(Reason::ResolveNotInNetmap));
}

pub async fn shows_the_peer_expired(testbed: &impl Testbed) {
    let status = raw::status(testbed).await;
    let peer = peer(&status);
    assert_eq!(peer["Expired"], true);
    assert!(is_past(&peer["KeyExpiry"]), "{peer:#}");
    let key = peer["PublicKey"].as_str().unwrap();
    assert!(key.starts_with("nodekey:6da774d5d774"), "the key is spoilt, so it cannot name the peer: {key}");
    assert_eq!(peer["TailscaleIPs"][0], testbed.peer().to_string());
    assert_eq!((&peer["CurAddr"], &peer["Relay"]), (&json!(""), &json!("")));
    assert_eq!(resolved(testbed, "db").await, Err(Reason::ResolvePeerExpired));
}

pub async fn of_an_expired_node(testbed: &impl Testbed) {
    let status = raw::status(testbed).await;
    assert_eq!((&status["BackendState"], &status["HaveNodeKey"]), (&json!("NeedsLogin"), &json!(true)));
    assert!(is_past(&status["Self"]["KeyExpiry"]), "{status:#}");
    assert_eq!(status["Self"]["Online"], true, "the map poll goes on: that is how one hears of a new key");
    assert!(status["Self"].get("Expired").is_none(), "said of peers alone");
    assert_eq!(status["Health"], json!([]), "no word about it");
    assert_keeps_netmap(&status);
    assert_eq!(fault(testbed).await, Some(Reason::NodeKeyExpired));
}

pub async fn of_a_stopped_node(testbed: &impl Testbed) {
    let status = raw::status(testbed).await;
    assert_eq!((&status["BackendState"], &status["HaveNodeKey"]), (&json!("Stopped"), &json!(true)));
    assert_eq!((&status["Self"]["Online"], &status["Health"]), (&json!(false), &json!(["Tailscale is stopped."])));
    assert_keeps_netmap(&status);
    assert_eq!(fault(testbed).await, Some(Reason::NodeStopped));
}

/// Addresses, names and peers are still told, though nothing can be dialled.
fn assert_keeps_netmap(status: &Value) {
    assert_eq!(texts(&status["TailscaleIPs"]).len(), 2);
    assert!(status["CurrentTailnet"].is_object());
    assert_eq!(peer(status)["HostName"], "db");
    assert_eq!(status["Self"]["PeerAPIURL"], Value::Null);
}

pub async fn of_a_node_without_control(testbed: &impl Testbed) {
    let status = raw::status(testbed).await;
    assert_eq!((&status["BackendState"], &status["HaveNodeKey"]), (&json!("NoState"), &json!(true)));
    assert_has_no_netmap(&status);
    // tailscaled tells it with its first attempt, after it has told the state.
    let told = async || fault(testbed).await == Some(Reason::NodeControlUnreachable);
    eventually("Health tells why the login fails", SOON, told).await;
}

pub async fn of_a_node_logged_out(testbed: &impl Testbed) {
    let status = raw::status(testbed).await;
    assert_eq!((&status["BackendState"], status.get("HaveNodeKey")), (&json!("NeedsLogin"), None));
    assert_has_no_netmap(&status);
    assert_eq!(fault(testbed).await, Some(Reason::NodeNeedsLogin));
    assert_eq!(resolved(testbed, "db").await, Err(Reason::ResolveNotInNetmap));
}

fn assert_has_no_netmap(status: &Value) {
    for name in ["TailscaleIPs", "CurrentTailnet", "CertDomains", "User"] {
        assert_eq!(status[name], Value::Null, "{name}");
    }
    // Peers that WireGuard had spoken to may linger, without name and address.
    for ghost in status["Peer"].as_object().into_iter().flatten().map(|(_, peer)| peer) {
        assert_eq!((&ghost["DNSName"], &ghost["InNetworkMap"]), (&json!(""), &json!(false)));
        assert_eq!((&ghost["TailscaleIPs"], ghost.get("AllowedIPs")), (&Value::Null, None));
    }
    let own = &status["Self"];
    assert_eq!(status["MagicDNSSuffix"], "");
    assert_eq!((&own["ID"], &own["DNSName"], &own["Online"]), (&json!(""), &json!(""), &json!(false)));
    assert_eq!((&own["TailscaleIPs"], own.get("AllowedIPs")), (&Value::Null, None));
    assert_eq!(own["PublicKey"], format!("nodekey:{}", "0".repeat(64)));
}
