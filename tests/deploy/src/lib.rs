//! Renders what `deploy/` holds with the tools that its users have.

pub mod apiserver;
pub mod charts;
pub mod kubelet;
pub mod pod;
pub mod policy;
pub mod tools;

pub use apiserver::Apiserver;
pub use charts::{Charts, Mode, Worker};
pub use pod::Pod;
