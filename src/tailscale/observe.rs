//! What is told of calls that were made.

use crate::reason::Failure;
use std::sync::Arc;

/// Is told of each finished call.
pub type Observe = Arc<dyn Fn(Call, Answer) + Send + Sync>;

/// The calls that telltail makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// `status`.
    Status,
    /// `dial`.
    Dial,
    /// `ping`.
    Ping,
    /// `watch-ipn-bus`, each time it is opened.
    Bus,
}

impl Call {
    /// Every call.
    pub const ALL: [Self; 4] = [Self::Status, Self::Dial, Self::Ping, Self::Bus];

    /// The label value.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Dial => "dial",
            Self::Ping => "ping",
            Self::Bus => "bus",
        }
    }
}

/// How a call went, whatever the answer says of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// tailscaled answered; that a dial failed is an answer, too.
    Ok,
    /// No answer, none in time, something that is no answer, or that this user may not ask.
    None,
}

impl Answer {
    /// Every answer.
    pub const ALL: [Self; 2] = [Self::Ok, Self::None];

    /// The label value.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::None => "no_answer",
        }
    }

    pub(super) fn of<T>(result: &Result<T, Failure>) -> Self {
        match result {
            Err(failure) if failure.reason.is_node_fault() => Self::None,
            Ok(_) | Err(_) => Self::Ok,
        }
    }
}

/// A call under way, which may be given up at any time.
pub(super) struct Observed<'a> {
    pub observe: &'a Observe,
    pub call: Call,
    pub answer: Answer,
}

impl Drop for Observed<'_> {
    fn drop(&mut self) {
        (self.observe)(self.call, self.answer);
    }
}
