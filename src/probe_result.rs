//! The result of a probe: one shape for the state, the metrics and the log.

use crate::config::Depth;
use crate::reason::{Failure, Stage};
use crate::slug::slug_enum;
use std::time::{Duration, SystemTime};

slug_enum! {
    /// What a successful probe proved.
    pub enum Detail {
        /// Something accepts connections; nothing was spoken.
        Connected = "connected",
        /// The service asks for TLS, which telltail does not speak: only its port is tested, for a question costs it a line in its log.
        TlsOnly = "tls_only",
        /// Something that speaks the protocol answers; whether it would let a worker in is unknown.
        Answering = "answering",
        /// It takes work: Valkey replied PONG, or Postgres let the user in without a password. A pooler may answer without asking
        /// its backend.
        Accepting = "accepting",
        /// It would go on after a password, and telltail has none.
        AuthRequired = "auth_required",
        /// Postgres does not let this user in, or not like this, whatever the password.
        AuthRejected = "auth_rejected",
        /// Postgres has no such database.
        NoDatabase = "no_database",
    }
}

impl Detail {
    /// How far the probe got, where a target is to be probed to this depth.
    pub const fn depth(self, configured: Depth) -> Depth {
        match self {
            Self::Connected | Self::TlsOnly => Depth::Tcp,
            Self::Answering | Self::Accepting | Self::AuthRequired | Self::AuthRejected | Self::NoDatabase => {
                configured
            }
        }
    }
}

/// The result of one probe.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeResult {
    /// When it ended.
    pub at: SystemTime,
    /// What was proven, or why it failed.
    pub outcome: Result<Detail, Failure>,
    /// Duration of each stage that succeeded.
    pub timings: Timings,
    /// Duration of the whole.
    pub elapsed: Duration,
}

impl ProbeResult {
    /// A probe that failed before anything was dialled.
    pub fn not_dialled(failure: Failure) -> Self {
        Self { at: SystemTime::now(), outcome: Err(failure), timings: Timings::default(), elapsed: Duration::ZERO }
    }
}

/// What came of a target's probe in one turn.
#[derive(Clone, Debug, PartialEq)]
pub enum ProbeOutcome {
    /// None was due.
    NotDue,
    /// It was cut short by shutdown, reload, our own stall, or the own shortage that is given: it proves nothing.
    Aborted(Option<Failure>),
    /// It succeeded or failed.
    Done(ProbeResult),
}

/// How long each stage of a probe took; none for a stage that was not needed or did not succeed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timings {
    /// Name to address.
    pub resolve: Option<Duration>,
    /// Address to connection.
    pub connect: Option<Duration>,
    /// Request to reply.
    pub protocol: Option<Duration>,
}

impl Timings {
    /// Each stage with its duration, in order.
    pub fn by_stage(self) -> [(Stage, Option<Duration>); 3] {
        [(Stage::Resolve, self.resolve), (Stage::Connect, self.connect), (Stage::Protocol, self.protocol)]
    }
}
