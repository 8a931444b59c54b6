//! PostgreSQL, as far as a client without credentials gets.
//!
//! Without a user the probe sends GSSENCRequest: 8 bytes, one byte in return, and no line in the server's log, with and
//! without TLS. A server answers it even when it is full or starting, so the reply proves that PostgreSQL (or a pooler)
//! runs there, and no more. Servers before 12 and some poolers do not know the request; what they are asked instead is
//! in `inquiry`.
//!
//! With a user the probe begins a login. It distinguishes starting, full and shutting down, and ends where a password is
//! requested. A server that trusts the user is read until it is ready for a query: only then the database exists and a slot
//! is free, and unread data would reach the server as a reset, with a line in its log.

pub(super) mod inquiry;
mod login;
mod message;
mod question;
pub mod sqlstate;
#[cfg(test)]
mod tests;

pub(super) use login::log_in;
