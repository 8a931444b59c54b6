//! The settings and their names in the file, the environment and the URLs.

/// Targets beyond this are refused: a pod that needs more is not probing its own services.
pub const MAX_TARGETS: usize = 64;

macro_rules! keys {
    ($(#[$doc:meta])* $enum:ident { $($(#[$inner:meta])* $variant:ident $key:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $enum { $($(#[$inner])* $variant,)* }

        impl $enum {
            /// Every one, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The key in the file.
            pub const fn key(self) -> &'static str {
                match self { $(Self::$variant => $key,)* }
            }

            /// The one with this key.
            pub fn by_key(key: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.key() == key)
            }

            /// Every key.
            pub fn keys() -> impl Iterator<Item = &'static str> {
                Self::ALL.iter().map(|one| one.key())
            }
        }
    };
}

keys! {
    /// A setting that has one value: a key of the file, and a variable.
    Setting {
        /// tailscaled's socket.
        Socket "socket",
        /// Where the HTTP face listens.
        Listen "listen",
        /// Default of the targets' interval.
        Interval "interval",
        /// Default of the targets' timeout.
        Timeout "timeout",
        /// Successes that bring a target up.
        Rise "rise",
        /// Failures that take a target down.
        Fall "fall",
        /// Readiness mode.
        Readiness "readiness",
        /// What `/startupz` waits for.
        StartupGate "startup_gate",
        /// When `/startupz` opens in any case.
        StartupRelease "startup_release",
        /// Time after SIGTERM.
        Drain "drain",
        /// Default of the targets' way.
        Via "via",
        /// Log levels.
        Log "log",
        /// JSON or text.
        LogFormat "log_format",
    }
}

keys! {
    /// A setting of one target: a parameter of its URL, and a key beside `url` in the file.
    Parameter {
        /// The name in labels, paths and logs.
        Name "name",
        /// Does readiness depend on it?
        Required "required",
        /// Time from probe to probe.
        Interval "interval",
        /// Longest time for a probe.
        Timeout "timeout",
        /// Way of the connect stage.
        Via "via",
        /// How far a probe goes.
        Depth "depth",
        /// Paths that are as they should be.
        Expect "expect",
    }
}

impl Setting {
    /// The variable of the environment.
    pub fn variable(self) -> String {
        format!("TELLTAIL_{}", self.key().to_ascii_uppercase())
    }
}

/// The key of the list of targets.
pub const TARGETS: &str = "targets";
/// The variable of the list of targets.
pub const TARGETS_VARIABLE: &str = "TELLTAIL_TARGETS";
/// The key of a target's URL.
pub const URL: &str = "url";
