//! Which reason breaks which rung.

use super::Rung;
use crate::reason::Reason;

impl Reason {
    /// The rung that it breaks.
    pub const fn rung(self) -> Rung {
        match self {
            Self::NodeSocketMissing | Self::NodeSocketRefused => Rung::Socket,
            Self::NodeSocketForbidden => Rung::Permission,
            Self::NodeLocalapiTimeout
            | Self::NodeLocalapiInvalid
            | Self::NodeStarting
            | Self::NodeNeedsLogin
            | Self::NodeNeedsApproval
            | Self::NodeStopped
            | Self::NodeNoAddress => Rung::Backend,
            Self::NodeKeyExpired => Rung::OwnKey,
            Self::ResolveRefused | Self::ResolveDnsFailed | Self::ResolveDnsMismatch => Rung::Name,
            Self::ResolveNotInNetmap | Self::ResolveServiceUnsupported => Rung::Netmap,
            Self::ResolvePeerExpired => Rung::PeerKey,
            Self::ConnectUnreachable | Self::ConnectNotRouted | Self::ProtocolMtu => Rung::Path,
            Self::ConnectTunnelDead | Self::ProtocolTunnelDead => Rung::Tunnel,
            Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::ConnectDropped
            | Self::ConnectFailed
            | Self::ConnectSocksUnreachable
            | Self::ConnectSocksInvalid
            | Self::ConnectSocksFailed => Rung::Tcp,
            Self::ProtocolTimeout
            | Self::ProtocolClosed
            | Self::ProtocolGarbage
            | Self::ProtocolRejected
            | Self::ProtocolStarting
            | Self::ProtocolShuttingDown
            | Self::ProtocolFull
            | Self::ProtocolLoading => Rung::Protocol,
        }
    }
}
