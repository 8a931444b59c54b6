//! LocalAPI, tailscaled's HTTP interface on a unix socket: only the calls that telltail makes, only the fields it reads.

mod status;

pub use status::{ExtraRecord, Own, Peer, Status};
