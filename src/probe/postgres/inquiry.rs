//! Which question a server without a user in its URL is asked, and which one next.
//!
//! GSSENCRequest costs a PostgreSQL nothing, but not every pooler knows it: they close, send an error or stay silent. Before a
//! target is called down for that, SSLRequest is asked on a new connection. What was answered is asked first from then on. A
//! server that answers `S` logs a line for each question, so that only its port is tested from then on.

use super::question::{Answer, Question, ask};
use crate::config::{Depth, Kind, Target};
use crate::probe::connect::{Stream, connect};
use crate::probe::resolve::Resolution;
use crate::probe::{ProbeContext, timed_out};
use crate::probe_result::Detail;
use crate::reason::{Failure, Reason, Stage};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The other question is asked again after this time if the failure lasts: a pooler whose backend was dead may be another one now.
const OTHER_AGAIN: Duration = Duration::from_secs(300);

/// What is known of a target's answers.
#[derive(Debug, Default)]
pub(in crate::probe) struct Inquiry {
    first: Question,
    /// Was it answered at some time?
    answered: bool,
    /// Does its answer cost a line in the server's log?
    tls_only: bool,
    /// Did only the other question help the last time, after silence? A busy server is silent, too.
    silent_before: bool,
    /// When the other question was asked in this outage.
    other_asked: Option<Instant>,
}

/// The question that may help after the first one failed so. Not answering is a failure of the question; another protocol, or the
/// server's own word on its state, is not.
fn next_question(first: Question, failure: &Failure) -> Option<Question> {
    let not_understood =
        matches!(failure.reason, Reason::ProtocolClosed | Reason::ProtocolTimeout | Reason::ProtocolRejected);
    not_understood.then_some(first.other())
}

impl Inquiry {
    /// Is the port all that is tested?
    pub fn is_over(&self) -> bool {
        self.tls_only
    }

    /// May the other question follow if the first one fails? Where one was answered before, only a failure that takes the target
    /// down is worth it.
    fn other_is_due(&self, decides: bool) -> bool {
        (decides || !self.answered) && self.other_asked.is_none_or(|at| at.elapsed() >= OTHER_AGAIN)
    }

    /// Asks the first question. It has half of the time that is left if the other one may follow. Also the time of the answer.
    pub async fn ask_first<S: Stream>(
        &mut self,
        stream: &mut S,
        target: &Target,
        decides: bool,
        deadline: Instant,
    ) -> Result<(Detail, Instant), Failure> {
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = if self.other_is_due(decides) { deadline - left / 2 } else { deadline };
        let outcome = timeout_at(limit, ask(stream, self.first)).await;
        let answer = outcome.unwrap_or_else(|_| Err(timed_out(target, Stage::Protocol)))?;
        let Answer { detail, at, .. } = answer;
        if !self.answered {
            answer.confirm(stream, limit).await?;
        }
        self.learn(self.first, detail);
        Ok((detail, at))
    }

    /// Asks the other question after a failure, on a new connection the same way. Where that is not due or does not help, the
    /// failure stays.
    pub async fn ask_other(
        &mut self,
        failure: Failure,
        target: &Target,
        resolution: &Resolution,
        context: ProbeContext<'_>,
        deadline: Instant,
    ) -> Result<Detail, Failure> {
        let asks = (target.kind, target.depth, &target.user) == (Kind::Postgres, Depth::Protocol, &None);
        let next = next_question(self.first, &failure).filter(|_| asks && self.other_is_due(context.decides));
        let (Some(other), Ok(resolved)) = (next, resolution.dialable()) else {
            if self.tls_only && context.decides {
                // What comes back after an outage may be something else.
                *self = Self::default();
            }
            return Err(failure);
        };
        self.other_asked = Some(Instant::now());
        let answer = async {
            let mut stream = connect(target, resolved, context.mode, context.dialer).await?;
            ask(&mut stream, other).await?.confirm(&mut stream, deadline).await
        };
        let detail = match timeout_at(deadline, answer).await {
            Ok(Ok(detail)) => detail,
            // Without the other question the target is not to be called down.
            Ok(Err(shortage)) if shortage.reason.is_own_shortage() => {
                self.other_asked = None;
                return Err(shortage);
            }
            Ok(Err(_)) | Err(_) => return Err(failure),
        };
        if failure.reason == Reason::ProtocolTimeout && !self.silent_before {
            *self = Self { silent_before: true, other_asked: None, ..*self };
        } else {
            self.learn(other, detail);
        }
        Ok(detail)
    }

    fn learn(&mut self, question: Question, detail: Detail) {
        *self = Self { first: question, answered: true, tls_only: detail == Detail::TlsOnly, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_question_that_was_not_understood_is_followed_by_the_other() {
        for reason in Reason::ALL {
            let expected = ["protocol_closed", "protocol_timeout", "protocol_rejected"].contains(&reason.slug());
            let failure = Failure::new(*reason, "");
            assert_eq!(
                next_question(Question::GssEncryption, &failure),
                expected.then_some(Question::Tls),
                "{reason:?}"
            );
            assert_eq!(
                next_question(Question::Tls, &failure),
                expected.then_some(Question::GssEncryption),
                "{reason:?}"
            );
        }
    }
}
