//! The kinds of services. Everything that differs between them, apart from the protocol itself, is in one table.

use super::Depth;
use crate::slug::slug_enum;

slug_enum! {
    /// A target's protocol.
    pub enum Kind {
        /// PostgreSQL, or a pooler that speaks for it.
        Postgres = "postgres",
        /// Valkey or Redis.
        Valkey = "valkey",
        /// Any service: a probe only connects.
        Tcp = "tcp",
    }
}

/// The properties of one kind.
struct KindProperties {
    /// The URL schemes; the first one is the kind's slug.
    schemes: &'static [&'static str],
    default_port: Option<u16>,
    default_depth: Depth,
    pools_connection: bool,
    /// A command for the service's own machine; `{port}` stands for the port.
    local_check: &'static str,
}

impl Kind {
    const fn properties(self) -> KindProperties {
        match self {
            Self::Postgres => KindProperties {
                schemes: &["postgres", "postgresql"],
                default_port: Some(5432),
                default_depth: Depth::Protocol,
                // A probe ends within the login, and a connection has only one.
                pools_connection: false,
                local_check: "pg_isready -h localhost -p {port}",
            },
            Self::Valkey => KindProperties {
                schemes: &["valkey", "redis"],
                default_port: Some(6379),
                default_depth: Depth::Protocol,
                pools_connection: true,
                local_check: "valkey-cli -p {port} ping",
            },
            Self::Tcp => KindProperties {
                schemes: &["tcp"],
                default_port: None,
                default_depth: Depth::Tcp,
                pools_connection: false,
                local_check: "ss -ltn sport = :{port}",
            },
        }
    }

    /// The schemes of its URLs, lower case.
    pub const fn schemes(self) -> &'static [&'static str] {
        self.properties().schemes
    }

    /// The kind of a URL with this scheme, in any case.
    pub fn from_scheme(scheme: &str) -> Option<Self> {
        let is_scheme = |known: &&str| known.eq_ignore_ascii_case(scheme);
        Self::ALL.into_iter().find(|kind| kind.schemes().iter().any(is_scheme))
    }

    /// The port where the URL has none; none where the URL must have one.
    pub const fn default_port(self) -> Option<u16> {
        self.properties().default_port
    }

    /// How far a probe goes unless the target sets it.
    pub const fn default_depth(self) -> Depth {
        self.properties().default_depth
    }

    /// Does a probe that speaks the protocol keep its connection for the next one?
    pub const fn pools_connection(self) -> bool {
        self.properties().pools_connection
    }

    /// The command that checks the service on its own machine.
    pub fn local_check(self, port: u16) -> String {
        self.properties().local_check.replace("{port}", &port.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_belongs_to_one_kind_and_the_first_is_its_slug() {
        for kind in Kind::ALL {
            assert_eq!(kind.schemes().first(), Some(&kind.slug()));
            for scheme in kind.schemes() {
                assert_eq!(Kind::from_scheme(&scheme.to_uppercase()), Some(kind), "{scheme}");
            }
        }
        assert_eq!(Kind::from_scheme("rediss"), None);
    }

    #[test]
    fn a_local_check_has_the_port() {
        assert!(Kind::ALL.iter().all(|kind| kind.local_check(8245).contains("8245")));
    }
}
