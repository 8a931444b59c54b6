//! What the bus says of a change, `ipn.Notify`: a function of the state before and after.

use std::collections::BTreeMap;

use crate::health::health;
use crate::json::{Fields, Json};
use crate::netmap;
use crate::{BackendState, SimState, Version};

/// A line of the bus.
#[derive(Clone, Debug)]
pub(crate) struct NotifyLine {
    /// For those who asked for peers' changes, if it is about them; the others get an empty notice.
    pub(crate) for_peers: bool,
    pub(crate) text: String,
}

/// Bits of the mask that ask for changes of peers.
pub(crate) const PEER_BITS: u64 = 4096 | 32_768;
const INITIAL_STATE: u64 = 2;
const INITIAL_PREFS: u64 = 4;
const INITIAL_NETMAP: u64 = 8;
const INITIAL_HEALTH: u64 = 128;
/// Those of the bits that bring a first line about, and may be asked for here.
const INITIAL_BITS: u64 = INITIAL_STATE | INITIAL_PREFS | INITIAL_NETMAP | 32 | 1024 | 2048 | 16_384;

/// Fields in Go's order; `true`: there even if null.
const FIELDS: [(&str, bool); 14] = [
    ("SessionID", false),
    ("ErrMessage", true),
    ("LoginFinished", true),
    ("State", true),
    ("Prefs", true),
    ("SelfChange", false),
    ("NetMap", true),
    ("PeerChangedPatch", false),
    ("PeersChanged", false),
    ("PeersRemoved", false),
    ("Engine", true),
    ("BrowseToURL", true),
    ("DriveShares", true),
    ("Health", false),
];

fn notify(version: Version, parts: Vec<(&'static str, Json)>) -> NotifyLine {
    let mut parts: BTreeMap<_, _> = parts.into_iter().collect();
    let mut fields = Fields::default().set("Version", version.long());
    let mut for_peers = false;
    for (name, always) in FIELDS {
        let value = parts.remove(name);
        for_peers |= value.is_some() && name.starts_with("Peer");
        fields = fields.set_if(always || value.is_some(), name, value.unwrap_or(Json::Null));
    }
    NotifyLine { for_peers, text: Json::from(fields).line() }
}

/// What those are told who did not ask for what there was to tell.
pub(crate) fn empty(version: Version) -> NotifyLine {
    notify(version, Vec::new())
}

/// The last line to a reader who was too slow.
pub(crate) fn fell_behind(version: Version) -> NotifyLine {
    notify(version, vec![("ErrMessage", "IPN bus consumer fell behind; closing watch".into())])
}

/// The first line, if the mask asks for one.
pub(crate) fn first(sim: &SimState, mask: u64, session: u64) -> Option<NotifyLine> {
    let mut parts = Vec::new();
    let asked = |bits| mask & bits != 0;
    if asked(INITIAL_STATE) {
        parts.push(("SessionID", format!("{session:016x}").into()));
        parts.push(("State", state(&sim.state).into()));
        if sim.state == BackendState::NeedsLogin && !sim.auth_url.is_empty() {
            parts.push(("BrowseToURL", sim.auth_url.as_str().into()));
        }
    }
    if asked(INITIAL_PREFS) {
        parts.push(("Prefs", prefs(sim)));
    }
    if asked(INITIAL_NETMAP) && sim.netmap {
        parts.push(("NetMap", netmap::netmap(sim)));
    }
    if asked(INITIAL_HEALTH) {
        parts.push(("Health", health(sim)));
    }
    asked(INITIAL_BITS).then(|| notify(sim.version, parts))
}

/// What is told of a change, in the order in which a `tailscale down` was seen to tell it.
pub(crate) fn between(before: &SimState, after: &SimState) -> Vec<NotifyLine> {
    let version = after.version;
    let line = |name: &'static str, value: Json| notify(version, vec![(name, value)]);
    let mut lines = Vec::new();
    if before.state != after.state {
        lines.push(line("State", state(&after.state).into()));
    }
    if prefs(before).line() != prefs(after).line() {
        lines.push(line("Prefs", prefs(after)));
    }
    if after.netmap {
        lines.extend(if version.since(1, 100) { map_changes(before, after) } else { whole_map(before, after) });
    }
    if health(before).line() != health(after).line() {
        lines.push(line("Health", health(after)));
    }
    lines
}

/// Before 1.100: the whole map, whatever changed and whoever asked.
fn whole_map(before: &SimState, after: &SimState) -> Vec<NotifyLine> {
    let text = |sim: &SimState| if sim.netmap { netmap::netmap(sim).line() } else { String::new() };
    let changed = text(before) != text(after);
    if changed { vec![notify(after.version, vec![("NetMap", netmap::netmap(after))])] } else { Vec::new() }
}

fn map_changes(before: &SimState, after: &SimState) -> Vec<NotifyLine> {
    let version = after.version;
    let (mut patched, mut changed) = (Vec::new(), Vec::new());
    for (name, peer) in &after.peers {
        let old = before.peers.get(name).filter(|old| old.id == peer.id && before.netmap);
        let kept = old.filter(|old| netmap::lasting(before, old).line() == netmap::lasting(after, peer).line());
        match kept {
            None => changed.push(netmap::peer(after, peer)),
            Some(old) if old.online != peer.online => {
                patched.push(Fields::default().set("NodeID", peer.id).set("Online", peer.online).into());
            }
            Some(_) => {}
        }
    }
    let is_gone = |id: i64| !after.peers.values().any(|peer| peer.id == id);
    let gone = before.peers.values().filter(|peer| is_gone(peer.id)).map(|peer| Json::Int(peer.id));
    let gone: Vec<_> = gone.filter(|_| before.netmap).collect();
    let own = netmap::own(after);
    let mut lines = Vec::new();
    if !before.netmap || netmap::own(before).line() != own.line() {
        lines.push(notify(version, vec![("SelfChange", own)]));
    }
    for (name, list) in [("PeerChangedPatch", patched), ("PeersChanged", changed), ("PeersRemoved", gone)] {
        if !list.is_empty() {
            lines.push(notify(version, vec![(name, Json::List(list))]));
        }
    }
    lines
}

fn state(state: &BackendState) -> i64 {
    match state {
        BackendState::NoState => 0,
        BackendState::InUseOtherUser => 1,
        BackendState::NeedsLogin => 2,
        BackendState::NeedsMachineAuth => 3,
        BackendState::Stopped => 4,
        BackendState::Starting => 5,
        BackendState::Running => 6,
        BackendState::Other(_) => 7,
    }
}

fn prefs(sim: &SimState) -> Json {
    let running = sim.state != BackendState::Stopped;
    Fields::default().set("Hostname", sim.host_name.as_str()).set("WantRunning", running).into()
}
