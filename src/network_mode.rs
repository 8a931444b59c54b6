//! tailscaled's networking mode.

use crate::slug::slug_enum;

slug_enum! {
    /// How tailscaled connects its pod to the tailnet.
    #[derive(Default)]
    pub enum NetworkMode {
        /// Inside tailscaled: other programs of the pod need a proxy.
        #[default]
        Userspace = "userspace",
        /// Through a network interface: the kernel routes into the tailnet.
        Tun = "tun",
    }
}

impl NetworkMode {
    /// For a person.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Userspace => "userspace",
            Self::Tun => "TUN",
        }
    }

    /// What `via` must name to test a worker's own path, for a person.
    pub const fn worker_via(self) -> &'static str {
        match self {
            Self::Userspace => "its SOCKS5 proxy",
            Self::Tun => "the kernel (`auto` or `tcp`)",
        }
    }
}
