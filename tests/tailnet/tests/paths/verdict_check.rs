//! Whether telltail's verdict is what tailscaled itself says and does: its count of bytes by path, which is the judge,
//! `tailscale status` and `tailscale ping`.

use telltail_tailnet::{PathBytes, Pong};
use telltail_testkit::eventually;

use super::*;

/// What had been counted when the time began over which is judged.
pub struct VerdictCheck<'a> {
    watch: &'a Watch<'a>,
    carried: PathBytes,
    /// Bytes that the worker has had from the peer.
    answered: u64,
}

impl Watch<'_> {
    /// Begins the time over which is judged. A probe has to fall into it, unless nothing shall happen.
    pub async fn judge(&self) -> VerdictCheck<'_> {
        VerdictCheck { watch: self, carried: self.carried().await, answered: self.answered().await }
    }

    /// Over two further probes: everybody agrees.
    pub async fn is_judged(&self, path: &str) {
        let judge = self.judge().await;
        self.probes(2.0).await;
        judge.finds(path).await;
    }

    /// From when tailscaled lets the peer sleep until the next probe: nothing comes, nothing is trusted or active. telltail, which
    /// looks when it probes, then says so; and only then is the peer pinged, which lives.
    pub async fn is_judged_idle(&self) {
        let (probed, pings) = (self.probed().await, self.pings().await);
        let asleep = async || {
            let peer = self.worker.peer(self.peer).await;
            peer["Active"] == false && !has_address(&peer, "CurAddr") && !has_address(&peer, "PeerRelay")
        };
        eventually("the peer sleeps", Duration::from_secs(60), asleep).await;
        let (before, begun) = (self.carried().await, Instant::now());
        let wakes = async || !asleep().await || self.carried().await != before;
        eventually("the peer is woken", Duration::from_secs(30), wakes).await;
        let slept = begun.elapsed();
        eventually("by a probe", MARGIN, async || self.probed().await == probed + 1.0).await;
        assert!(slept >= Duration::from_secs(2), "no bytes at all for {slept:?}");
        let page = self.page().await;
        assert_eq!((page.path(self.target).as_str(), self.pings().await), ("idle", pings), "{}", self.agent.log());
        let pong = self.pong().await;
        assert!(!matches!(pong, Pong::Lost(_)), "{pong:?}");
        println!("{}: idle, no bytes for {:.1} s, then ping {pong:?}", self.worker.name(), slept.as_secs_f64());
    }

    async fn carried(&self) -> PathBytes {
        match self.counts {
            Counts::Worker => self.worker.bytes().await,
            Counts::Peer => self.peer.bytes().await,
        }
    }

    async fn answered(&self) -> u64 {
        self.worker.peer(self.peer).await["RxBytes"].as_u64().unwrap_or_default()
    }

    /// The first pong of a few pings, for packets may get lost.
    async fn pong(&self) -> Pong {
        for _ in 0..4 {
            let pong = self.worker.ping(self.peer).await;
            if !matches!(pong, Pong::Lost(_)) {
                return pong;
            }
        }
        self.worker.ping(self.peer).await
    }
}

impl VerdictCheck<'_> {
    /// Everybody agrees that this was the path: that packets went over it and no other, or, where it is unknown, that
    /// nothing came back over any.
    pub async fn finds(self, path: &str) {
        let watch = self.watch;
        let page = watch.page().await;
        assert_eq!(page.path(watch.target), path, "{}", watch.agent.log());
        let region = page.region(watch.target);
        assert_eq!(region.is_some(), path == "derp", "a region is told exactly while it is used: {region:?}");
        let status = watch.worker.peer(watch.peer).await;
        let trusted = (has_address(&status, "CurAddr"), has_address(&status, "PeerRelay"));
        assert_eq!(trusted, (path == "direct", path == "peer_relay"), "{path}: {status}");
        if path == "unknown" {
            return self.finds_silence().await;
        }
        let carried = watch.carried().await - self.carried;
        let on_path = match path {
            "direct" => carried.direct,
            "peer_relay" => carried.peer_relay,
            _ => carried.derp,
        };
        assert!(on_path > 0 && on_path == carried.total(), "{path} to {}: {carried:?}", watch.target);
        let pong = watch.pong().await;
        let agrees = match &pong {
            Pong::Direct(_) => path == "direct",
            Pong::PeerRelay(_) => path == "peer_relay",
            Pong::Derp(code) => path == "derp" && region.as_ref().is_some_and(|(region, _)| region == code),
            Pong::Lost(_) => false,
        };
        assert!(agrees, "{path}, {region:?}: tailscale ping says {pong:?}");
        println!("{}: {path} to {}, bytes {carried:?}, ping {pong:?}", watch.worker.name(), watch.target);
    }

    async fn finds_silence(&self) {
        let watch = self.watch;
        assert_eq!(watch.answered().await, self.answered, "bytes came back");
        let pong = watch.worker.ping(watch.peer).await;
        assert!(matches!(pong, Pong::Lost(_)), "{pong:?}");
        println!("{}: unknown to {}, nothing came back, ping {pong:?}", watch.worker.name(), watch.target);
    }
}

/// Does `status` tell this address of a peer?
fn has_address(peer: &serde_json::Value, field: &str) -> bool {
    peer[field].as_str().is_some_and(|text| !text.is_empty())
}
