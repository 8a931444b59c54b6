use crate::process::Output;

/// The answer to one ping of [`ping`](crate::Node::ping).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pong {
    /// Over UDP, to this address.
    Direct(String),
    /// Over a peer relay.
    PeerRelay(String),
    /// Over this DERP region.
    Derp(String),
    /// None: what the CLI says.
    Lost(String),
}

impl Pong {
    /// Reads `pong from NAME (IP) via WAY in TIME`.
    pub(crate) fn from_cli(output: &Output) -> Self {
        let way = output.stdout.lines().find_map(|line| line.split_once(" via ")?.1.split_once(" in "));
        let Some((way, _)) = way else {
            return Self::Lost(format!("{}{}", output.stdout, output.stderr).trim().to_owned());
        };
        if let Some(region) = way.strip_prefix("DERP(") {
            Self::Derp(region.trim_end_matches(')').to_owned())
        } else if let Some(relay) = way.strip_prefix("peer-relay(") {
            Self::PeerRelay(relay.trim_end_matches(')').to_owned())
        } else {
            Self::Direct(way.to_owned())
        }
    }
}
