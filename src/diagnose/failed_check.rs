//! Which check a reason fails.

use super::Check;
use crate::reason::Reason;

impl Check {
    /// The check that a failure for this reason fails.
    pub const fn failed_by(reason: Reason) -> Self {
        match reason {
            Reason::NodeSocketMissing | Reason::NodeSocketRefused | Reason::NodeOutOfResources => Self::Socket,
            Reason::NodeSocketForbidden => Self::Permission,
            Reason::NodeLocalapiTimeout
            | Reason::NodeLocalapiInvalid
            | Reason::NodeStarting
            | Reason::NodeControlUnreachable
            | Reason::NodeNeedsLogin
            | Reason::NodeNeedsApproval
            | Reason::NodeStopped
            | Reason::NodeNoAddress => Self::Backend,
            Reason::NodeKeyExpired => Self::OwnKey,
            Reason::ResolveRefused | Reason::ResolveDnsFailed | Reason::ResolveDnsMismatch => Self::Name,
            Reason::ResolveNotInNetmap | Reason::ResolveServiceUnsupported => Self::Netmap,
            Reason::ResolvePeerExpired => Self::PeerKey,
            Reason::ConnectIsolated | Reason::ConnectUnreachable | Reason::ConnectNotRouted | Reason::ProtocolMtu => {
                Self::Path
            }
            Reason::ConnectTunnelDead | Reason::ProtocolTunnelDead => Self::Tunnel,
            Reason::ConnectRefused
            | Reason::ConnectTimeout
            | Reason::ConnectDropped
            | Reason::ConnectFailed
            | Reason::ConnectSocksUnreachable
            | Reason::ConnectSocksInvalid
            | Reason::ConnectSocksFailed
            | Reason::ConnectSocksElsewhere => Self::Tcp,
            Reason::ProtocolTimeout
            | Reason::ProtocolClosed
            | Reason::ProtocolGarbage
            | Reason::ProtocolTls
            | Reason::ProtocolRejected
            | Reason::ProtocolStarting
            | Reason::ProtocolShuttingDown
            | Reason::ProtocolFull
            | Reason::ProtocolLoading => Self::Protocol,
        }
    }
}
