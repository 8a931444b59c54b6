//! The stages of a probe, one file each.

pub mod dns;
pub mod postgres;
pub mod socks5;
pub mod valkey;
mod wire;

/// What a service that lives has shown of itself, and no more than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detail {
    /// Something that speaks the protocol answers; whether it would take a worker was not asked.
    Answering,
    /// It takes work: Valkey said PONG, or Postgres let the user in without a password.
    Accepting,
    /// It would go on after a password, which telltail has not got.
    AuthRequired,
    /// Postgres does not let this user in, whatever the password.
    AuthRejected,
    /// Postgres has no such database.
    NoDatabase,
}

impl Detail {
    /// The word in output and logs.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Answering => "answering",
            Self::Accepting => "accepting",
            Self::AuthRequired => "auth_required",
            Self::AuthRejected => "auth_rejected",
            Self::NoDatabase => "no_database",
        }
    }
}
