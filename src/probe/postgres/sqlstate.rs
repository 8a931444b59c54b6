//! What an error before a session tells of the server.
//!
//! A refusal of who asks, or how, comes from a server that lives. Only words on the server's own state (starting, shutting down,
//! full, broken) are failures. The error's class decides ("PostgreSQL Error Codes", appendix A of PostgreSQL's documentation),
//! unless a code and its text say more.

use crate::probe_result::Detail;
use crate::reason::Reason;

/// An ErrorResponse.
#[derive(Clone, Copy, Debug)]
pub struct ServerError<'a> {
    /// SQLSTATE.
    pub code: &'a str,
    /// The text, in the server's language.
    pub message: &'a str,
    /// The function in PostgreSQL's source, in no language.
    pub routine: &'a str,
}

/// Life, or a failure.
pub type Meaning = Result<Detail, Reason>;

const REFUSED: Meaning = Ok(Detail::AuthRejected);
const NO_DATABASE: Meaning = Ok(Detail::NoDatabase);
const BROKEN: Meaning = Err(Reason::ProtocolRejected);
const STARTING: Meaning = Err(Reason::ProtocolStarting);
const ENDING: Meaning = Err(Reason::ProtocolShuttingDown);
const FULL: Meaning = Err(Reason::ProtocolFull);

/// A class of appendix A: its two characters, its name there, its meaning before a session, and who sends it or why it means that.
pub type Class = (&'static str, &'static str, Meaning, &'static str);

/// Every class of appendix A, from PostgreSQL 12 to 18.
pub const CLASSES: &[Class] = &[
    ("00", "Successful Completion", BROKEN, "no error; never in an ErrorResponse"),
    ("01", "Warning", BROKEN, "no error; never in an ErrorResponse"),
    ("02", "No Data", BROKEN, "no error; never in an ErrorResponse"),
    ("03", "SQL Statement Not Yet Complete", REFUSED, STATEMENT),
    ("08", "Connection Exception", BROKEN, "poolers and gateways, of their connection to the server"),
    ("09", "Triggered Action Exception", REFUSED, STATEMENT),
    ("0A", "Feature Not Supported", REFUSED, "protocol version or option of this client: PostgreSQL, RDS Proxy"),
    ("0B", "Invalid Transaction Initiation", REFUSED, STATEMENT),
    ("0F", "Locator Exception", REFUSED, STATEMENT),
    ("0L", "Invalid Grantor", REFUSED, STATEMENT),
    ("0P", "Invalid Role Specification", REFUSED, "a role setting of this user names a role that is gone"),
    ("0Z", "Diagnostics Exception", REFUSED, STATEMENT),
    ("10", "XQuery Error", REFUSED, STATEMENT),
    ("20", "Case Not Found", REFUSED, STATEMENT),
    ("21", "Cardinality Violation", REFUSED, STATEMENT),
    ("22", "Data Exception", REFUSED, "a startup option or setting of this user has a wrong value (22023): guc.c"),
    ("23", "Integrity Constraint Violation", REFUSED, STATEMENT),
    ("24", "Invalid Cursor State", REFUSED, STATEMENT),
    ("25", "Invalid Transaction State", REFUSED, STATEMENT),
    ("26", "Invalid SQL Statement Name", REFUSED, STATEMENT),
    ("27", "Triggered Data Change Violation", REFUSED, STATEMENT),
    (
        "28",
        "Invalid Authorization Specification",
        REFUSED,
        "pg_hba.conf, password, role: auth.c; TLS wanted: RDS Proxy",
    ),
    ("2B", "Dependent Privilege Descriptors Still Exist", REFUSED, STATEMENT),
    ("2D", "Invalid Transaction Termination", REFUSED, STATEMENT),
    ("2F", "SQL Routine Exception", REFUSED, STATEMENT),
    ("34", "Invalid Cursor Name", REFUSED, STATEMENT),
    ("38", "External Routine Exception", REFUSED, STATEMENT),
    ("39", "External Routine Invocation Exception", REFUSED, STATEMENT),
    ("3B", "Savepoint Exception", REFUSED, STATEMENT),
    ("3D", "Invalid Catalog Name", NO_DATABASE, "no such database: postinit.c, PgBouncer from 1.19 on, Odyssey"),
    ("3F", "Invalid Schema Name", REFUSED, STATEMENT),
    ("40", "Transaction Rollback", BROKEN, "a standby cancels the session for its recovery (40001): postgres.c"),
    (
        "42",
        "Syntax Error or Access Rule Violation",
        REFUSED,
        "no CONNECT (42501): postinit.c; unknown option (42704): guc.c",
    ),
    ("44", "WITH CHECK OPTION Violation", REFUSED, STATEMENT),
    ("53", "Insufficient Resources", BROKEN, "disk (53100) or memory (53200) is full"),
    ("54", "Program Limit Exceeded", REFUSED, STATEMENT),
    ("55", "Object Not In Prerequisite State", REFUSED, "a database that takes no connections (55000): postinit.c"),
    ("57", "Operator Intervention", BROKEN, "cancelled, for example an authentication that takes too long (57014)"),
    ("58", "System Error", BROKEN, "errors of the machine's files, a library that cannot be loaded"),
    ("72", "Snapshot Failure", REFUSED, STATEMENT),
    ("F0", "Configuration File Error", BROKEN, "pg_hba.conf or a lock file cannot be used"),
    ("HV", "Foreign Data Wrapper Error (SQL/MED)", REFUSED, STATEMENT),
    ("P0", "PL/pgSQL Error", REFUSED, "a login trigger raises it (PostgreSQL 17): event_trigger.c"),
    ("XX", "Internal Error", BROKEN, "catalog or index is corrupt; pgpool without a backend"),
];

/// Why most classes mean life: they are about a statement, and before a session only a login trigger runs one.
const STATEMENT: &str = "of a statement; before a session only a login trigger (PostgreSQL 17) could cause it";

/// What tells one error from another with the same code.
#[derive(Clone, Copy, Debug)]
pub enum Text {
    /// Nothing: the code says it all.
    Any,
    /// The whole text.
    Is(&'static str),
    /// Its beginning.
    Begins(&'static str),
    /// Its end.
    Ends(&'static str),
    /// A part of it.
    Contains(&'static str),
    /// PostgreSQL's function.
    Routine(&'static str),
}

/// A code that means something else than its class: the code, the text, the meaning, and who sends it. The first that fits counts.
pub type Special = (&'static str, Text, Meaning, &'static str);

/// Every code that means something else than its class.
pub const CODES: &[Special] = &[
    ("08P01", Text::Begins("no more connections allowed"), FULL, "PgBouncer: max_client_conn"),
    ("08P01", Text::Is("SSL required"), REFUSED, "PgBouncer: client_tls_sslmode=require"),
    ("08P01", Text::Begins("no such user"), REFUSED, "PgBouncer to 1.18"),
    ("08P01", Text::Ends("authentication failed"), REFUSED, "PgBouncer to 1.18"),
    ("08P01", Text::Begins("no such database"), NO_DATABASE, "PgBouncer to 1.18"),
    ("08P01", Text::Begins("node is running secure mode"), REFUSED, "CockroachDB: TLS wanted"),
    (
        "53300",
        Text::Begins("too many connections for"),
        REFUSED,
        "the limit of a role or database: miscinit.c, postinit.c",
    ),
    ("53300", Text::Routine("InitializeSessionUserId"), REFUSED, "the limit of a role, in any language: miscinit.c"),
    ("53300", Text::Routine("CheckMyDatabase"), REFUSED, "the limit of a database, in any language: postinit.c"),
    ("53300", Text::Any, FULL, "max_connections: proc.c, postinit.c; pgpool, Odyssey, CockroachDB"),
    ("57P01", Text::Any, ENDING, "ended by an administrator: postgres.c; CockroachDB that drains"),
    ("57P02", Text::Any, ENDING, "another process crashed: postgres.c"),
    // Starting and shutting down share the code. A message in another language counts as starting.
    ("57P03", Text::Contains("shutting down"), ENDING, "postmaster.c"),
    ("57P03", Text::Any, STARTING, "starting, recovering, no hot standby: postmaster.c"),
    ("57P04", Text::Any, NO_DATABASE, "the database is being dropped: postgres.c"),
    ("57P05", Text::Any, ENDING, "the session's time is over: postgres.c"),
    ("58000", Text::Begins("No pool configured"), NO_DATABASE, "PgCat: no such pair of database and user"),
    ("XX000", Text::Is("Tenant or user not found"), REFUSED, "Supavisor: no such tenant or user"),
    ("XX000", Text::Begins("MaxClientsInSessionMode"), FULL, "Supavisor: pool_size"),
    ("XX000", Text::Begins("Max client connections reached"), FULL, "Supavisor: max_clients"),
];

impl Text {
    fn fits(self, error: ServerError<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Is(text) => error.message == text,
            Self::Begins(text) => error.message.starts_with(text),
            Self::Ends(text) => error.message.ends_with(text),
            Self::Contains(text) => error.message.contains(text),
            Self::Routine(routine) => error.routine == routine,
        }
    }
}

/// The meaning of an error. A class that is in no table, or no SQLSTATE at all, is a failure.
pub fn meaning(error: ServerError<'_>) -> Meaning {
    let special = CODES.iter().find(|(code, text, ..)| *code == error.code && text.fits(error));
    let class = || CLASSES.iter().find(|(class, ..)| error.code.len() == 5 && error.code.starts_with(class));
    special.map(|(_, _, meaning, _)| *meaning).or_else(|| class().map(|(_, _, meaning, _)| *meaning)).unwrap_or(BROKEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn of(code: &str, message: &str) -> Meaning {
        meaning(ServerError { code, message, routine: "" })
    }

    #[test]
    fn each_class_is_there_once_in_order() {
        assert!(CLASSES.is_sorted_by(|(one, ..), (other, ..)| one < other), "{CLASSES:?}");
        assert_eq!(CLASSES.len(), 44);
        let classes: HashSet<_> = CLASSES.iter().map(|(class, ..)| *class).collect();
        assert!(CODES.iter().all(|(code, ..)| code.len() == 5 && classes.contains(&code[..2])));
    }

    #[test]
    fn no_special_code_is_hidden_by_one_before_it() {
        for (index, (code, ..)) in CODES.iter().enumerate() {
            let hides = |(other, text, ..): &Special| other == code && matches!(text, Text::Any);
            assert!(!CODES[..index].iter().any(hides), "{code}, {index}");
        }
    }

    #[test]
    fn what_poolers_say_of_a_dead_backend_is_no_life() {
        for (code, message) in [
            ("08P01", "server login has been failing, try again later (server_login_retry)"),
            ("08P01", "server login failed: FATAL password authentication failed for user \"x\""),
            ("08P01", "pgbouncer cannot connect to server"),
            ("08P01", "query_wait_timeout"),
            ("08006", "odyssey: failed to get remote server connection"),
            ("58000", "could not get connection from the pool - AllServersDown"),
            ("XX000", "failed to create a backend 0 connection"),
            ("XX000", "DbHandler exited"),
            ("57000", "all backend nodes are down"),
        ] {
            assert_eq!(of(code, message), BROKEN, "{code} {message}");
        }
    }

    #[test]
    fn a_refusal_of_who_asks_or_how_is_life() {
        for (code, message) in [
            ("28000", "This RDS Proxy requires TLS connections"),
            ("0A000", "RDS Proxy currently doesn't support the option ssl_renegotiation_limit."),
            ("08P01", "node is running secure mode, SSL connection required"),
            ("XX000", "Tenant or user not found"),
            ("55000", "database \"template0\" is not currently accepting connections"),
            ("22023", "invalid value for parameter \"TimeZone\": \"x\""),
            ("42704", "unrecognized configuration parameter \"x\""),
            ("P0001", "not at night"),
        ] {
            assert_eq!(of(code, message), REFUSED, "{code} {message}");
        }
    }

    #[test]
    fn what_is_in_no_table_is_a_failure() {
        for code in ["", "no code", "28", "280000", "ZZ000", "\u{e9}8000", "2800"] {
            assert_eq!(of(code, ""), BROKEN, "{code}");
        }
    }
}
