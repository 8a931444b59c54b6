//! `status` as Tailscale's definitions have it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use common::{OWN_STATUS, STATUS, ask, status};
use serde_json::{Value, json};
use tailscaled_sim::{BackendState, Crowd, Mode, Peer, Service, Tailscaled};

const DB: &str = "stackeye-db-prd";

fn with_db() -> Tailscaled {
    let tailscaled = Tailscaled::start();
    tailscaled.add_peer(Peer::new(DB).ip("100.64.0.2").ip("fd7a:115c:a1e0::2").tag("tag:db"));
    tailscaled
}

fn only_peer(status: &Value) -> &Value {
    let peers = status["Peer"].as_object().unwrap();
    assert_eq!(peers.len(), 1);
    peers.values().next().unwrap()
}

/// Names of the fields in the order of the text.
fn fields(text: &str, depth: usize) -> Vec<&str> {
    let start = format!("{}\"", "\t".repeat(depth));
    text.lines().filter_map(|line| line.strip_prefix(&start)?.split_once("\": ")).map(|(name, _)| name).collect()
}

#[tokio::test]
async fn fields_come_in_the_order_of_the_struct() {
    let tailscaled = with_db();
    let reply = ask(&tailscaled, STATUS).await;
    assert_eq!(
        fields(reply.text(), 1).join(" "),
        "Version TUN BackendState HaveNodeKey AuthURL TailscaleIPs Self Health MagicDNSSuffix CurrentTailnet \
         CertDomains ExtraRecords Peer User ClientVersion"
    );
    let peer = "ID NodeID PublicKey HostName DNSName OS UserID TailscaleIPs AllowedIPs Tags Addrs CurAddr Relay \
                PeerRelay RxBytes TxBytes Created LastWrite LastSeen LastHandshake Online ExitNode ExitNodeOption \
                Active PeerAPIURL TaildropTarget NoFileSharingReason InNetworkMap InMagicSock InEngine";
    let peers = &reply.text()[reply.text().find("\"Peer\"").unwrap()..reply.text().find("\"User\"").unwrap()];
    assert_eq!(fields(peers, 3).join(" "), peer);
    assert!(reply.text().starts_with("{\n\t\"Version\": \"1.102.5-") && reply.text().ends_with("null\n}\n"));
    assert!(reply.text().contains("Worker \\u003c\u{1f980}\\u003e"), "Go escapes what HTML could take for markup");
}

#[tokio::test]
async fn older_releases_lack_the_newer_fields() {
    let tailscaled = with_db();
    tailscaled.add_service(Service::new("db", "100.100.1.1", DB));
    let names = |status: &Value| only_peer(status).as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let new = status(&tailscaled).await;
    assert_eq!(new["ExtraRecords"], json!([{ "Name": "db.tail1234.ts.net.", "Value": "100.100.1.1" }]));
    tailscaled.set_version("1.80.3");
    let old = status(&tailscaled).await;
    assert_eq!(old.get("ExtraRecords"), None);
    let missing: Vec<_> = names(&new).difference(&names(&old)).cloned().collect();
    assert_eq!(missing, ["NoFileSharingReason", "NodeID", "PeerRelay", "TaildropTarget"]);
}

#[tokio::test]
async fn a_peer_shows_what_is_known_of_it() {
    let tailscaled = with_db();
    tailscaled.add_service(Service::new("db", "100.100.1.1", DB));
    let status = status(&tailscaled).await;
    let (key, peer) = status["Peer"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(peer["PublicKey"], json!(key));
    assert_eq!(key.len(), "nodekey:".len() + 64);
    assert_eq!(peer["DNSName"], "stackeye-db-prd.tail1234.ts.net.");
    assert_eq!(peer["TailscaleIPs"], json!(["100.64.0.2", "fd7a:115c:a1e0::2"]));
    assert_eq!(peer["AllowedIPs"], json!(["100.64.0.2/32", "fd7a:115c:a1e0::2/128", "100.100.1.1/32"]));
    assert_eq!(peer["Tags"], json!(["tag:db"]));
    assert_eq!((&peer["Addrs"], &peer["CurAddr"], &peer["Relay"]), (&Value::Null, &json!(""), &json!("nyc")));
    assert_eq!((&peer["Active"], &peer["Online"]), (&json!(false), &json!(true)));
    for time in ["LastWrite", "LastSeen", "LastHandshake"] {
        assert_eq!(peer[time], "0001-01-01T00:00:00Z");
    }
    assert_eq!((peer.get("Expired"), peer.get("KeyExpiry")), (None, None));
    assert!(status["User"][peer["UserID"].to_string()]["LoginName"].is_string());
}

#[tokio::test]
async fn a_peer_changes_in_flight() {
    let tailscaled = with_db();
    tailscaled.set_peer_online(DB, false);
    tailscaled.update_peer(DB, |peer| peer.key_expiry = Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
    let before = status(&tailscaled).await;
    assert_eq!(only_peer(&before)["Online"], false);
    assert_ne!(only_peer(&before)["LastSeen"], "0001-01-01T00:00:00Z");
    assert_eq!(only_peer(&before)["KeyExpiry"], "2023-11-14T22:13:20Z");
    tailscaled.expire_peer(DB);
    let after = status(&tailscaled).await;
    assert_eq!((&only_peer(&after)["Expired"], &only_peer(&after)["Relay"]), (&json!(true), &json!("")));
    assert_eq!(only_peer(&after)["ID"], only_peer(&before)["ID"]);
    assert!(only_peer(&after)["PublicKey"].as_str().unwrap().starts_with("nodekey:6da774d5d774"));
    tailscaled.remove_peer(DB);
    assert_eq!(status(&tailscaled).await["Peer"], Value::Null);
    tailscaled.add_peer(Peer::new(DB).ip("100.64.0.9"));
    assert_ne!(only_peer(&status(&tailscaled).await)["ID"], only_peer(&before)["ID"], "another node, same name");
}

#[tokio::test]
async fn the_path_shows_in_three_fields() {
    let tailscaled = with_db();
    let now = async |change: fn(&mut Peer)| {
        tailscaled.update_peer(DB, change);
        let status = status(&tailscaled).await;
        let peer = only_peer(&status);
        ["CurAddr", "PeerRelay", "Relay", "Active"].map(|name| peer[name].clone())
    };
    let direct = now(|peer| peer.go_direct("10.99.0.11:41641")).await;
    assert_eq!(direct, [json!("10.99.0.11:41641"), json!(""), json!("nyc"), json!(true)]);
    let relay = now(|peer| peer.go_peer_relay("10.99.0.31:40000:vni:1")).await;
    assert_eq!(relay, [json!(""), json!("10.99.0.31:40000:vni:1"), json!("nyc"), json!(true)]);
    assert_eq!(now(|peer| peer.go_derp("sfo")).await, [json!(""), json!(""), json!("sfo"), json!(true)]);
    assert_eq!(now(Peer::go_idle).await, [json!(""), json!(""), json!("sfo"), json!(false)]);
}

#[tokio::test]
async fn without_peers_there_is_null() {
    let tailscaled = with_db();
    let own = ask(&tailscaled, OWN_STATUS).await.json();
    assert_eq!(own["Peer"], Value::Null);
    assert_eq!(own["Self"]["DNSName"], "worker.tail1234.ts.net.");
    assert_eq!(own["Self"]["TailscaleIPs"], own["TailscaleIPs"]);
    for (field, list) in [("Addrs", true), ("Capabilities", true), ("CapMap", false)] {
        assert_eq!((own["Self"][field].is_array(), own["Self"][field].is_object()), (list, !list), "{field}");
    }
}

#[tokio::test]
async fn every_backend_state_has_its_word_and_company() {
    let tailscaled = with_db();
    for (state, netmap, health) in [
        (BackendState::NoState, false, json!([])),
        (BackendState::NeedsLogin, false, json!(["Tailscale is stopped."])),
        (BackendState::NeedsMachineAuth, true, json!([])),
        (BackendState::Stopped, true, json!(["Tailscale is stopped."])),
        (BackendState::Starting, true, json!([])),
        (BackendState::Running, true, json!([])),
        (BackendState::InUseOtherUser, true, json!([])),
        (BackendState::Other("Confused".into()), true, json!([])),
    ] {
        tailscaled.set_backend_state(state.clone());
        let status = status(&tailscaled).await;
        assert_eq!(status["BackendState"], state.as_str());
        for field in ["Peer", "TailscaleIPs", "CurrentTailnet", "User"] {
            assert_eq!(status[field].is_null(), !netmap, "{field} in {state:?}");
        }
        assert_eq!(status["Health"], health, "{state:?}");
        assert_eq!(status["AuthURL"] == "", state != BackendState::NeedsLogin);
        assert!(status["Self"].is_object());
    }
}

#[tokio::test]
async fn the_own_node_can_expire_lose_its_address_and_its_control() {
    let tailscaled = with_db();
    assert_eq!(status(&tailscaled).await["TUN"], false);
    tailscaled.set_mode(Mode::Tun);
    tailscaled.set_control_online(false);
    tailscaled.set_health(&["Some peers are advertising routes but --accept-routes is false"]);
    tailscaled.take_addresses();
    let bare = status(&tailscaled).await;
    assert_eq!((&bare["TUN"], &bare["TailscaleIPs"]), (&json!(true), &Value::Null));
    assert_eq!((&bare["Self"]["Online"], &bare["BackendState"]), (&json!(false), &json!("Running")));
    assert_eq!(bare["Health"].as_array().unwrap().len(), 1);
    tailscaled.expire_own_key();
    let expired = status(&tailscaled).await;
    assert_eq!(expired["BackendState"], "NeedsLogin");
    assert!(expired["Self"]["KeyExpiry"].is_string() && expired["Peer"].is_object());
    assert_eq!((&expired["Self"]["Online"], &expired["AuthURL"]), (&json!(true), &json!("")));
}

#[tokio::test]
async fn a_crowd_is_in_front_of_the_named_and_all_are_different() {
    let tailscaled = with_db();
    tailscaled.set_crowd(Crowd { peers: 300, padding: 100 });
    let reply = ask(&tailscaled, STATUS).await;
    let status = reply.json();
    let peers = status["Peer"].as_object().unwrap();
    assert_eq!(peers.len(), 301);
    for field in ["ID", "DNSName", "PublicKey", "NodeID"] {
        assert_eq!(peers.values().map(|peer| peer[field].to_string()).collect::<BTreeSet<_>>().len(), 301, "{field}");
    }
    assert_eq!(peers.values().map(|peer| peer["TailscaleIPs"][0].to_string()).collect::<BTreeSet<_>>().len(), 301);
    assert!(peers.iter().all(|(key, peer)| peer["PublicKey"] == json!(key) && key.len() == 72));
    assert!(reply.text().find("stackeye").unwrap() > reply.text().rfind("crowd-").unwrap());
}
