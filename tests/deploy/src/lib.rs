//! Renders what `deploy/` holds with the tools that its users have.

pub mod charts;
pub mod kubelet;
pub mod tools;

pub use charts::{Charts, Mode, Worker};
