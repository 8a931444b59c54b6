//! What the control server says of nodes and of the tailnet, as tailscaled shows it.

use std::process::Command;

use telltail_tailnet::{Dial, Mode, Node, Pong, Tailnet, Version};
use telltail_testkit::eventually;

use super::{SOON, dials};

const VERSIONS: [Version; 2] = [Version::V1_80, Version::V1_102];

async fn worker_and_database(tailnet: &Tailnet, version: Version, mode: Mode) -> (Node, Node) {
    let worker = tailnet.node("worker", version, mode).await;
    let database = tailnet.node("stackeye-db-prd", Version::V1_102, Mode::Userspace).await;
    eventually("direct", SOON, async || matches!(worker.ping(&database).await, Pong::Direct(_))).await;
    (worker, database)
}

const MAGIC_DNS: &str = "100.100.100.100";

#[tokio::test]
async fn a_node_carries_routes() {
    for version in VERSIONS {
        let tailnet = Tailnet::start().await;
        let (worker, database) = worker_and_database(&tailnet, version, Mode::Userspace).await;
        let own: Vec<_> =
            database.addresses().iter().map(|ip| format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 })).collect();
        let shown = async |field: &str| {
            let peer = worker.peer(&database).await;
            let routes = peer[field].as_array().cloned().unwrap_or_default();
            routes.iter().filter_map(|route| Some(route.as_str()?.to_owned())).collect::<Vec<_>>()
        };
        let routes = ["0.0.0.0/0", "::/0", "fd7a:115c:a1e0:b1a:0:7:a01:0/112", "10.1.0.0/16"];
        database.set_routes(&routes).await;
        eventually("routes", SOON, async || shown("PrimaryRoutes").await == routes[2..]).await;
        let expected: Vec<_> = own.iter().map(String::as_str).chain(routes).collect();
        assert_eq!(shown("AllowedIPs").await, expected);
        assert_eq!(worker.peer(&database).await["ExitNodeOption"], true);

        // None of it changes where the node itself is.
        let _postgres = database.postgres(&[]).await;
        assert_eq!(dials(&worker, &database).await, Dial::Connected);
        database.set_routes(&[]).await;
        eventually("none", SOON, async || shown("AllowedIPs").await == own).await;
    }
}

#[tokio::test]
async fn dns_records_have_types_and_names_have_several() {
    for version in VERSIONS {
        let tailnet = Tailnet::start().await;
        let (worker, database) = worker_and_database(&tailnet, version, Mode::Tun).await;
        let (ipv4, ipv6) = (database.ip().to_string(), database.ipv6().to_string());
        let records = [
            ("untyped.lab.ts.net", "", &*ipv4),
            ("typed.lab.ts.net", "A", &ipv4),
            ("typed.lab.ts.net", "AAAA", &ipv6),
            ("two.lab.ts.net", "A", "100.64.0.77"),
            ("two.lab.ts.net", "A", &ipv4),
            ("alias.lab.ts.net", "CNAME", "stackeye-db-prd.lab.ts.net."),
            ("db.elsewhere.example", "A", &ipv4),
        ];
        tailnet.set_typed_dns_records(&records).await;
        for (name, kind, answer) in [
            ("untyped.lab.ts.net", "A", &*ipv4),
            ("typed.lab.ts.net", "A", &ipv4),
            ("typed.lab.ts.net", "AAAA", &ipv6),
            // MagicDNS gives the first of a family.
            ("two.lab.ts.net", "A", "100.64.0.77"),
            ("alias.lab.ts.net", "A", "ServerFailure"),
            ("db.elsewhere.example", "A", &ipv4),
        ] {
            let what = format!("{name} {kind}, {version:?}: {answer}");
            eventually(&what, SOON, async || worker.resolve(MAGIC_DNS, name, kind).await == answer).await;
        }
    }
}

#[tokio::test]
async fn a_tailnet_has_another_base_domain_or_none() {
    for version in VERSIONS {
        let tailnet = Tailnet::start().await;
        tailnet.set_base_domain(Some("ts.example.net")).await;
        let (worker, database) = worker_and_database(&tailnet, version, Mode::Tun).await;
        let status = worker.status().await;
        assert_eq!(status["Self"]["DNSName"], "worker.ts.example.net.");
        assert_eq!(
            (&status["MagicDNSSuffix"], &status["CurrentTailnet"]["Name"]),
            (&"ts.example.net".into(), &"ts.example.net".into())
        );
        assert_eq!(worker.resolve(MAGIC_DNS, &database.fqdn(), "A").await, database.ip().to_string());

        let tailnet = Tailnet::start().await;
        tailnet.set_base_domain(None).await;
        let (worker, database) = worker_and_database(&tailnet, version, Mode::Tun).await;
        let status = worker.status().await;
        assert_eq!(database.fqdn(), "stackeye-db-prd");
        assert_eq!(worker.peer(&database).await["DNSName"], "stackeye-db-prd");
        assert_eq!(status["CurrentTailnet"]["MagicDNSEnabled"], false);
        // tailscaled takes the own name for the suffix.
        assert_eq!((&status["MagicDNSSuffix"], &status["CurrentTailnet"]["Name"]), (&"worker".into(), &"".into()));
        let answer = match version {
            Version::V1_80 => database.ip().to_string(),
            Version::V1_102 => "ServerFailure".to_owned(),
        };
        assert_eq!(worker.resolve(MAGIC_DNS, "stackeye-db-prd", "A").await, answer);
        let dial = worker.dial("stackeye-db-prd", 5432, SOON).await;
        assert!(matches!(&dial, Dial::Refused(502, why) if why.contains("refused")), "{dial:?}");
    }
}

#[tokio::test]
async fn names_are_given_by_an_admin_or_come_from_another_tailnet() {
    for version in VERSIONS {
        let tailnet = Tailnet::start().await;
        let (worker, database) = worker_and_database(&tailnet, version, Mode::Tun).await;
        for (name, fqdn) in [("primary", "primary.lab.ts.net"), ("db.other-net.ts.net", "db.other-net.ts.net")] {
            database.rename(name).await;
            assert_eq!(database.fqdn(), fqdn);
            let seen = async || worker.peer(&database).await["DNSName"] == format!("{fqdn}.");
            eventually("renamed", SOON, seen).await;
            assert_eq!(worker.peer(&database).await["HostName"], "stackeye-db-prd");
            assert_eq!(worker.resolve(MAGIC_DNS, fqdn, "A").await, database.ip().to_string());
            assert_eq!(worker.resolve(MAGIC_DNS, "stackeye-db-prd.lab.ts.net", "A").await, "ServerFailure");
        }
    }
}

#[tokio::test]
async fn nodes_have_no_ipv4() {
    for version in VERSIONS {
        let tailnet = Tailnet::start().await;
        tailnet.disable_ipv4().await;
        let (worker, database) = worker_and_database(&tailnet, version, Mode::Tun).await;
        let ipv6 = database.ipv6();
        assert_eq!(worker.addresses(), [worker.ipv6()]);
        assert_eq!(worker.peer(&database).await["TailscaleIPs"], serde_json::json!([ipv6]));
        let _postgres = database.postgres(&[]).await;
        assert_eq!(worker.dial(ipv6, 5432, SOON).await, Dial::Connected);
        let interface = worker.run(Command::new("ip").args(["-br", "addr", "show", "tailscale0"])).await.stdout;
        assert!(interface.contains("fd7a:") && !interface.contains("100."), "{interface}");
    }

    let tailnet = Tailnet::start().await;
    let (worker, database) = worker_and_database(&tailnet, Version::V1_102, Mode::Tun).await;
    worker.disable_ipv4().await;
    assert_eq!(worker.addresses(), [worker.ipv6()]);
    assert_eq!(worker.peer(&database).await["TailscaleIPs"][0], database.ip().to_string(), "the others keep theirs");
    let seen = async || database.peer(&worker).await["TailscaleIPs"] == serde_json::json!([worker.ipv6()]);
    eventually("seen so", SOON, seen).await;
    let ask = async |kind| worker.resolve("fd7a:115c:a1e0::53", &database.fqdn(), kind).await;
    assert_eq!((ask("A").await, ask("AAAA").await), (String::new(), database.ipv6().to_string()));
}
