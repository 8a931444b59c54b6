//! Which tailscaled is being played.

use std::fmt;

/// A release, as far as behaviour depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// The newest release this simulation was compared with.
    pub const NEWEST: Version = Version { major: 1, minor: 102, patch: 5 };

    /// Reads `1.80.3`; anything else is a mistake in the test.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let numbers: Vec<u32> = text.split('.').filter_map(|part| part.parse().ok()).collect();
        match numbers[..] {
            [major, minor, patch] => Version { major, minor, patch },
            _ => panic!("{text:?} is not a version such as 1.102.5"),
        }
    }

    /// Whether this release is `major.minor` or later.
    #[must_use]
    pub fn since(self, major: u32, minor: u32) -> bool {
        (self.major, self.minor) >= (major, minor)
    }

    /// With made-up commits behind it, as real ones have.
    pub(crate) fn long(self) -> String {
        format!("{self}-t5d1c0ffee-g7e11a11ab")
    }

    /// `Tailscale-Cap`: the number of the last release at or before this one whose number is known.
    pub(crate) fn capability(self) -> u32 {
        const KNOWN: [(u32, u32); 15] = [
            (60, 87),
            (66, 95),
            (70, 102),
            (74, 106),
            (78, 109),
            (80, 113),
            (84, 116),
            (86, 122),
            (88, 125),
            (90, 130),
            (94, 131),
            (96, 133),
            (98, 138),
            (100, 141),
            (102, 142),
        ];
        KNOWN.iter().rev().find(|(minor, _)| *minor <= self.minor).map_or(KNOWN[0].1, |(_, capability)| *capability)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}
