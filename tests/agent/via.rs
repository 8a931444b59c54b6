//! The ways to a target: LocalAPI, the kernel, a SOCKS5 proxy; and what is said of them.

use crate::harness::{Harness, Setup};
use tailscaled_sim::Mode;
use tailscaled_sim::services::{DnsConduct, Socks5Conduct, Socks5Request};

#[tokio::test]
async fn in_tun_mode_magic_dns_is_asked_one_question_a_probe_and_the_kernel_dials() {
    let harness = Harness::new(Setup::Tun);
    let agent = harness.agent(&[]).await;
    agent.ready().await;
    let page = agent.probes("db", 3).await;
    assert_eq!(
        page.sample("telltail_target_info", &[("target", "db")]).and_then(|sample| sample.label("via")),
        Some("tcp")
    );
    assert!(page.is("telltail_node_info", &[("mode", "tun")]));
    let questions = harness.dns.questions();
    let of = |name: &str| questions.iter().filter(|question| *question == name).count() as f64;
    assert_eq!(of("db.tail1234.ts.net") + of("cache.tail1234.ts.net"), questions.len() as f64, "{questions:?}");
    let probes = agent.metrics().await.sum("telltail_probes_total", &[("target", "db")]);
    assert!(of("db.tail1234.ts.net") <= probes + 1.0, "{questions:?}");
    let dials = harness.tailscaled.requests().into_iter().filter(|request| request.path.ends_with("dial"));
    assert_eq!(dials.count(), 0);
    let (_, healthz) = agent.get("/healthz?verbose").await;
    assert!(!healthz.contains("not tested"), "{healthz}");
    assert_eq!(agent.log.lines_with("tailscaled runs in userspace mode").len(), 0);
    harness.nothing_unexpected();
}

#[tokio::test]
async fn the_mode_is_read_in_every_round() {
    let harness = Harness::new(Setup::Tun);
    for (name, port) in [("db", harness.db.addr().port()), ("cache", harness.cache.addr().port())] {
        let server = if name == "db" { harness.db.addr() } else { harness.cache.addr() };
        harness.tailscaled.forward(name, port, server);
    }
    let agent = harness.agent(&[]).await;
    agent.ready().await;
    harness.tailscaled.set_mode(Mode::Userspace);
    harness.dns.behave(DnsConduct::Code(2));
    let via = [("target", "db"), ("via", "localapi")];
    agent.until("userspace", |page| page.is("telltail_target_info", &via)).await;
    let page = agent.probes("db", 2).await;
    assert_eq!(page.sum("telltail_probes_total", &[("result", "failure")]), 0.0);
    assert_eq!(agent.log.lines_with("tailscaled runs in userspace mode").len(), 1);
    let (_, healthz) = agent.get("/healthz?verbose").await;
    assert!(healthz.contains("the way on which the worker itself reaches db, cache is not tested"), "{healthz}");
}

#[tokio::test]
async fn a_named_proxy_is_asked_for_the_name_as_it_is_written_and_nothing_else_is_dialled() {
    let harness = Harness::new(Setup::Proxy);
    let agent = harness.agent(&[]).await;
    let page = agent.ready().await;
    let request = |host: &str, port| Socks5Request { host: host.to_owned(), port };
    let asked = harness.proxy.requests();
    assert!(asked.contains(&request("db", 5432)) && asked.contains(&request("cache", 6379)), "{asked:?}");
    assert!(asked.iter().all(|one| *one == asked[0] || *one == asked[1]), "{asked:?}");
    let dials = harness.tailscaled.requests().into_iter().filter(|request| request.path.ends_with("dial"));
    assert_eq!(dials.count(), 0);
    let via = format!("socks5://{}", harness.proxy.addr());
    assert_eq!(
        page.sample("telltail_target_info", &[("target", "db")]).and_then(|sample| sample.label("via")),
        Some(&*via)
    );
    assert!(!agent.get("/healthz?verbose").await.1.contains("not tested"));

    // tailscaled itself is fine, and the worker's way is not: that is what the proxy is named for.
    harness.proxy.stop();
    let down = [("target", "db"), ("reason", "connect_socks_unreachable"), ("scope", "pod")];
    agent.until("a dead proxy", |page| page.is("telltail_target_failing_info", &down)).await;
}

/// The proxy of a real tailscaled answers every failure with the same code.
#[tokio::test]
async fn why_a_proxy_could_not_connect_is_asked_of_tailscaled_itself() {
    let harness = Harness::new(Setup::Proxy);
    let agent = harness.agent(&[]).await;
    agent.ready().await;
    harness.proxy.behave(Socks5Conduct::Reply(1));
    let by_proxy = [("target", "db"), ("reason", "connect_socks_failed"), ("scope", "path")];
    agent.until("the proxy's own fault", |page| page.is("telltail_target_failing_info", &by_proxy)).await;
    harness.db.stop();
    let by_service = [("target", "db"), ("reason", "connect_refused"), ("scope", "service")];
    agent.until("the service's fault", |page| page.is("telltail_target_failing_info", &by_service)).await;
    harness.nothing_unexpected();
}

/// A name that the proxy does not know goes to the system resolver of the tailscale container, which may wait for longer than
/// a probe may.
#[tokio::test]
async fn a_proxy_that_is_silent_while_tailscaled_connects_is_not_a_policy_that_drops() {
    let harness = Harness::new(Setup::Proxy);
    let agent = harness.agent(&[("TELLTAIL_READINESS", "local")]).await;
    agent.ready().await;
    harness.proxy.behave(Socks5Conduct::SilentAtConnect);
    let failed = [("target", "db"), ("reason", "connect_socks_failed"), ("scope", "path")];
    let page = agent.until("silent", |page| page.is("telltail_target_failing_info", &failed)).await;
    assert!(page.is("telltail_ready", &[]), "mode local");
    harness.nothing_unexpected();
}

/// In TUN mode the LocalAPI is not what a worker uses either.
#[tokio::test]
async fn the_localapi_is_not_the_workers_path_in_tun_mode() {
    let harness = Harness::new(Setup::Tun);
    harness.tailscaled.forward("db", harness.db.addr().port(), harness.db.addr());
    let targets = harness.targets("&via=localapi", "");
    let agent = harness.agent(&[("TELLTAIL_TARGETS", &targets)]).await;
    agent.ready().await;
    let (_, healthz) = agent.get("/healthz?verbose").await;
    assert!(healthz.contains("in TUN mode; the way on which the worker itself reaches db is not tested"), "{healthz}");
    assert_eq!(agent.log.lines_with("tailscaled runs in TUN mode").len(), 1);
}

/// A tailnet that gives this node no IPv4 address (`disable-ipv4`).
#[tokio::test]
async fn a_node_without_ipv4_uses_ipv6() {
    for setup in [Setup::Userspace, Setup::Tun] {
        let harness = Harness::new(setup);
        let own = "fd7a:115c:a1e0::1".parse().unwrap();
        harness.tailscaled.with_state(|sim| sim.ips = vec![own]);
        let v4 = if setup == Setup::Tun { "127.0.0.11" } else { "100.64.0.2" };
        let v6 = if setup == Setup::Tun { "::1" } else { "fd7a:115c:a1e0::2" };
        harness.tailscaled.update_peer("db", |db| db.ips = vec![v4.parse().unwrap(), v6.parse().unwrap()]);
        harness.dns.set("db.tail1234.ts.net", &[v6.parse().unwrap()]);
        let report = harness.doctor(&[], None).await;
        let db = report.targets.iter().find(|target| target.target.name == "db").unwrap();
        assert_eq!(db.peer.as_ref().map(|peer| peer.address), v6.parse().ok());
        // In TUN mode nothing listens at ::1: MagicDNS has answered the AAAA question, and IPv6 was dialled.
        assert_eq!(
            db.diagnosis.verdict.as_ref().err().map(|failure| failure.reason.slug()),
            (setup == Setup::Tun).then_some("connect_refused")
        );
    }
}

#[tokio::test]
async fn what_the_node_calls_itself_forges_nothing() {
    let harness = Harness::new(Setup::Userspace);
    let name = "x\"} 1\ntelltail_ready 1\r\n[+]db ok\u{1b}[2J\u{202e}{}".repeat(40);
    harness.tailscaled.with_state(|sim| sim.host_name.clone_from(&name));
    let agent = harness.agent(&[]).await;
    let page = agent.ready().await;
    let shown = page.sample("telltail_node_info", &[]).and_then(|sample| sample.label("hostname")).expect("a name");
    assert!(shown.len() <= 63 && shown.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)));
    assert!(agent.get("/healthz?verbose").await.1.is_ascii());
    agent.log.lines();
}
