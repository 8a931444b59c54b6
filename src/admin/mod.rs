//! The HTTP interface for the kubelet, Prometheus and people. Every response comes from one snapshot of the state, never
//! from I/O, and nothing that a client sends is reflected, stored or acted upon.
//!
//! * `/healthz` (alias `/readyz`): readiness, 200 or 503; `?verbose`, `?exclude=NAME`. `/healthz/NAME`: one check alone.
//! * `/livez`: the process answers. `/startupz`: the startup gate is open. `/metrics`: Prometheus' text format.
//! * `/api/v1/status`: everything, as the JSON of [`crate::document`]. `/`: the same as a page for people. These two name addresses
//!   and causes, and are not for every request (`access`).
//!
//! `server` is the listener and its threat model, `routes` the endpoints and the rules for every request.

mod access;
#[cfg(test)]
mod fixture;
mod health_check;
mod healthz;
mod page;
mod response;
mod routes;
mod server;

pub use routes::{App, Route, router};
pub use server::{ConnectionEvent, ConnectionObserver, Limits, PORT, bind, serve};
