//! Where the configuration comes from, and noticing that it has changed.

use super::{Config, Environment, Loaded, load};
use crate::reason::{Failure, Reason};
use crate::regular_file;
use crate::shortage::is_own_shortage;
use crate::stable_hash::fnv1a;
use std::fmt;
use std::path::PathBuf;

/// The environment, which stays as it was at the start, and a file, which may change.
#[derive(Clone, Debug)]
pub struct Source {
    environment: Environment,
    file: Option<PathBuf>,
    /// Hash of the file's content as last read; none if it could not be read.
    seen: Option<u64>,
}

/// Why there is no new configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadError {
    /// It is wrong; for people, every problem.
    Rejected(String),
    /// telltail itself lacked a file descriptor or memory for it. It is read again with the next round.
    NotRead(Failure),
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(problems) => f.write_str(problems),
            Self::NotRead(shortage) => f.write_str(&shortage.cause),
        }
    }
}

/// One byte more than a file may have, so that a longer one is noticed and not read to its end.
const READ_LIMIT: u64 = super::MAX_FILE_BYTES as u64 + 1;

impl Source {
    /// A source that was not read yet; where no file is named, it is the one that `TELLTAIL_CONFIG` names.
    pub fn new(environment: Environment, file: Option<PathBuf>) -> Self {
        let file = file.or_else(|| environment.file());
        Self { environment, file, seen: None }
    }

    /// Reads the configuration; the error is for people and names every problem.
    pub fn load(&mut self) -> Result<Loaded, String> {
        let content = self.read();
        self.seen = content.as_ref().ok().map(|content| fnv1a(content));
        self.parse(&content.map_err(|error| error.to_string())?)
    }

    /// The configuration, if the content changed, or `force`. The file's time does not count: Kubernetes swaps a link.
    pub fn changed(&mut self, force: bool) -> Option<Result<Config, ReloadError>> {
        self.file.as_ref()?;
        let content = self.read();
        if let Err(shortage @ ReloadError::NotRead(_)) = content {
            return Some(Err(shortage));
        }
        let seen = content.as_ref().ok().map(|content| fnv1a(content));
        if seen == self.seen && !force {
            return None;
        }
        self.seen = seen;
        Some(
            content.and_then(|content| self.parse(&content).map_err(ReloadError::Rejected)).map(|loaded| loaded.config),
        )
    }

    fn parse(&self, content: &[u8]) -> Result<Loaded, String> {
        let file = self.file.as_deref().map(|path| (path, content));
        load(&self.environment, file).map_err(|problems| problems.to_string())
    }

    fn read(&self) -> Result<Vec<u8>, ReloadError> {
        let Some(path) = &self.file else { return Ok(Vec::new()) };
        regular_file::read(path, READ_LIMIT).map_err(|error| {
            let cause = format!("{}: {error}", path.display());
            match is_own_shortage(&error) {
                true => ReloadError::NotRead(Failure::new(Reason::NodeOutOfResources, cause)),
                false => ReloadError::Rejected(cause),
            }
        })
    }
}
