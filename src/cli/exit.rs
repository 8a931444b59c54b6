//! How a command that fails ends.

use std::fmt;
use std::io;

/// The configuration is wrong (`EX_CONFIG`).
pub const EXIT_CONFIG: u8 = 78;
/// The agent cannot start, for example because its port is taken (`EX_OSERR`).
pub const EXIT_START: u8 = 71;
/// Something went wrong inside (`EX_SOFTWARE`).
pub const EXIT_INTERNAL: u8 = 70;
/// The command line is wrong (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// Why a command failed: its exit code, and a message for stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code.
    pub code: u8,
    /// The message.
    pub message: String,
}

impl Exit {
    /// An exit with this code and message.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The output could not be written.
pub fn write_error(error: io::Error) -> Exit {
    Exit::new(EXIT_INTERNAL, format!("cannot write the output: {error}"))
}
