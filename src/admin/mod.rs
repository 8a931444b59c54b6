//! The HTTP face: what the kubelet, Prometheus and people ask. Every answer comes from one snapshot of the state, never
//! from I/O, and nothing that a client sends is reflected, stored or acted upon.
//!
//! * `/healthz` (alias `/readyz`): readiness, 200 or 503; `?verbose`, `?exclude=NAME`. `/healthz/NAME`: one check alone.
//! * `/livez`: the process answers. `/startupz`: the startup gate is open. `/metrics`: Prometheus' text format.
//! * `/api/v1/status`: everything, as the JSON of [`crate::document`]. `/`: the same as a page for people.

mod check;
#[cfg(test)]
mod fixture;
mod healthz;
mod page;
mod reply;
mod routes;
mod server;

pub use routes::{App, Route, router};
pub use server::{ConnectionEvent, ConnectionObserver, Limits, PORT, bind, serve};
