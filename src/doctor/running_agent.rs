//! What an agent that runs beside the doctor reports.

use crate::document::Document;

/// The pages of a running agent. It remembers what the doctor, which sees only now, cannot know.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningAgent {
    /// `/api/v1/status`
    pub document: Document,
    /// `/metrics`
    pub metrics: String,
}
