//! Peers that can tell whether this node itself is cut off. No I/O and no clock.

use crate::peer::TargetPeer;
use crate::stable_hash::fnv1a;
use crate::tailscale::{Peer, Status};
use std::net::IpAddr;
use std::time::Duration;

/// A peer that was in touch with this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Its full MagicDNS name.
    pub name: String,
    /// Where to ping it.
    pub address: IpAddr,
    /// All its addresses.
    pub addresses: Vec<IpAddr>,
}

/// Most witnesses of one target: one may be off by chance, and no peer is to be flooded.
const MOST: usize = 2;

/// A peer's last handshake is at most so much older than the newest of all peers. That is now while anything works, and the last
/// moment in which anything did once nothing does: the longer this node is cut off, the same peers stay its witnesses.
const IN_TOUCH: Duration = Duration::from_secs(600);

/// The peers to ask when the target's machine is silent: those whose home is in another DERP region first, whose outage may be
/// all there is. Among those a hash decides, so that the pods of a fleet spread over the peers that they share.
pub fn choose(status: &Status, target: &TargetPeer) -> Vec<Witness> {
    let peers = || status.peers.iter().chain(&status.others);
    let Some(newest) = peers().filter_map(|peer| peer.last_handshake).max() else { return Vec::new() };
    let in_touch = |peer: &&Peer| peer.last_handshake.is_some_and(|last| last + IN_TOUCH >= newest);
    let home = peers().find(|peer| peer.id == target.id).map(|peer| peer.home_region.as_str());
    let rank = |peer: &&Peer| {
        let shares_home = home == Some(peer.home_region.as_str());
        (shares_home, fnv1a(format!("{} {}", status.own.dns_name, peer.id).as_bytes()))
    };
    let mut candidates: Vec<_> =
        peers().filter(|peer| peer.id != target.id && !peer.expired).filter(in_touch).collect();
    candidates.sort_by_key(rank);
    candidates.into_iter().filter_map(Witness::of).take(MOST).collect()
}

impl Witness {
    fn of(peer: &Peer) -> Option<Self> {
        let address = *peer.addresses.first()?;
        Some(Self { name: peer.dns_name.clone(), address, addresses: peer.addresses.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tailscale::SelfNode;
    use std::collections::BTreeMap;
    use std::slice::from_ref;
    use std::time::SystemTime;

    /// A peer whose last handshake was at this minute.
    fn peer(name: &str, minute: Option<u64>, home: &str) -> Peer {
        Peer {
            id: format!("n-{name}"),
            dns_name: format!("{name}.tail1.ts.net"),
            addresses: vec!["100.64.0.9".parse().unwrap()],
            home_region: home.to_owned(),
            last_handshake: minute.map(|minute| SystemTime::UNIX_EPOCH + Duration::from_secs(60 * minute)),
            ..Peer::default()
        }
    }

    fn target() -> TargetPeer {
        TargetPeer {
            id: "n-db".to_owned(),
            name: "db.tail1.ts.net".to_owned(),
            address: "100.64.0.2".parse().unwrap(),
            addresses: Vec::new(),
            node_addresses: Vec::new(),
            online: true,
            key_expiry: None,
        }
    }

    fn chosen(own: &str, targets: &[Peer], others: &[Peer]) -> Vec<String> {
        let own = SelfNode { dns_name: format!("{own}.tail1.ts.net"), ..SelfNode::default() };
        let status = Status { own, peers: targets.to_vec(), others: others.to_vec(), ..Status::default() };
        let mut names: Vec<_> = choose(&status, &target())
            .into_iter()
            .map(|witness| witness.name.trim_end_matches(".tail1.ts.net").to_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn only_peers_that_answered_within_ten_minutes_are_witnesses_and_never_the_target() {
        let db = peer("db", Some(100), "nyc");
        let none: [&str; 0] = [];
        assert_eq!(chosen("worker", from_ref(&db), &[]), none);
        assert_eq!(chosen("worker", &[peer("db", None, "nyc")], &[peer("laptop", None, "nyc")]), none);
        let others = [peer("metrics", Some(91), "nyc"), peer("laptop", Some(89), "sfo"), peer("online", None, "sfo")];
        assert_eq!(chosen("worker", from_ref(&db), &others), ["metrics"]);
        let expired = Peer { expired: true, ..peer("metrics", Some(100), "nyc") };
        let without_address = Peer { addresses: Vec::new(), ..peer("relay", Some(100), "nyc") };
        assert_eq!(chosen("worker", &[db, peer("cache", Some(99), "nyc")], &[expired, without_address]), ["cache"]);
    }

    #[test]
    fn the_longer_this_node_is_cut_off_the_same_peers_stay_its_witnesses() {
        // Nothing has answered since minute 100, whatever the time is now.
        let others = [peer("metrics", Some(95), "nyc")];
        assert_eq!(chosen("worker", &[peer("db", Some(100), "nyc")], &others), ["metrics"]);
        // A target that has been dead for an hour does not make peers of that time witnesses.
        let others = [peer("laptop", Some(40), "nyc"), peer("metrics", Some(100), "nyc")];
        assert_eq!(chosen("worker", &[peer("db", Some(40), "nyc")], &others), ["metrics"]);
    }

    #[test]
    fn another_home_region_comes_first() {
        let db = peer("db", Some(100), "nyc");
        let near = ["a", "b", "c", "d"].map(|name| peer(name, Some(100), "nyc"));
        let others = [&near[..], &[peer("far", Some(100), "sfo")]].concat();
        for pod in 0..50 {
            let names = chosen(&format!("worker-{pod}"), from_ref(&db), &others);
            assert!(names.len() == MOST && names.contains(&"far".to_owned()), "{names:?}");
        }
    }

    #[test]
    fn a_thousand_pods_spread_over_the_peers_that_they_share() {
        let db = peer("db", Some(100), "nyc");
        let others: Vec<_> = (0..8).map(|n| peer(&format!("infra-{n}"), Some(100), "nyc")).collect();
        let mut asked: BTreeMap<String, u32> = BTreeMap::new();
        for pod in 0..1000 {
            let names = chosen(&format!("worker-{pod}"), from_ref(&db), &others);
            assert_eq!(names, chosen(&format!("worker-{pod}"), from_ref(&db), &others), "stable");
            names.into_iter().for_each(|name| *asked.entry(name).or_default() += 1);
        }
        println!("{asked:?}");
        // 2,000 over eight is 250 each.
        assert!(asked.len() == 8 && asked.values().all(|count| (200..=300).contains(count)), "{asked:?}");
    }
}
