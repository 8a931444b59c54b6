//! Which reason breaks which check.

use super::Check;
use crate::reason::Reason;

impl Reason {
    /// The check that it breaks.
    pub const fn check(self) -> Check {
        match self {
            Self::NodeSocketMissing | Self::NodeSocketRefused => Check::Socket,
            Self::NodeSocketForbidden => Check::Permission,
            Self::NodeLocalapiTimeout
            | Self::NodeLocalapiInvalid
            | Self::NodeStarting
            | Self::NodeNeedsLogin
            | Self::NodeNeedsApproval
            | Self::NodeStopped
            | Self::NodeNoAddress => Check::Backend,
            Self::NodeKeyExpired => Check::OwnKey,
            Self::ResolveRefused | Self::ResolveDnsFailed | Self::ResolveDnsMismatch => Check::Name,
            Self::ResolveNotInNetmap | Self::ResolveServiceUnsupported => Check::Netmap,
            Self::ResolvePeerExpired => Check::PeerKey,
            Self::ConnectUnreachable | Self::ConnectNotRouted | Self::ProtocolMtu => Check::Path,
            Self::ConnectTunnelDead | Self::ProtocolTunnelDead => Check::Tunnel,
            Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::ConnectDropped
            | Self::ConnectFailed
            | Self::ConnectSocksUnreachable
            | Self::ConnectSocksInvalid
            | Self::ConnectSocksFailed => Check::Tcp,
            Self::ProtocolTimeout
            | Self::ProtocolClosed
            | Self::ProtocolGarbage
            | Self::ProtocolRejected
            | Self::ProtocolStarting
            | Self::ProtocolShuttingDown
            | Self::ProtocolFull
            | Self::ProtocolLoading => Check::Protocol,
        }
    }
}
