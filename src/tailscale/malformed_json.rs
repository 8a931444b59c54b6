//! Errors of JSON that is read while it arrives.

use std::fmt;

/// Longest name or value, in bytes: the capabilities of the own node or a peer take tens of KiB.
pub const MAX_VALUE: usize = 1 << 20;

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MalformedJson {
    /// Not the expected JSON object, from this byte on.
    Syntax(usize),
    /// One value is longer than [`MAX_VALUE`].
    TooLong,
    /// The document ended too early.
    Incomplete,
    /// A value has the wrong type: its name and the error.
    Value(String),
}

impl MalformedJson {
    /// The value `name` has the wrong type.
    pub fn value(name: &str, error: &serde_json::Error) -> Self {
        Self::Value(format!("{name}: {error}"))
    }
}

impl fmt::Display for MalformedJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(at) => write!(f, "no JSON object at byte {at}"),
            Self::TooLong => write!(f, "a value is longer than {MAX_VALUE} bytes"),
            Self::Incomplete => f.write_str("incomplete JSON"),
            Self::Value(error) => f.write_str(error),
        }
    }
}
