//! A small kubelet: it runs a rendered pod with the programs of its images, on the test's tailnet.
//!
//! It does what a kubelet does for such a pod, from the same fields: sidecars in their order, each behind the startup probe of
//! the one before, probes with their periods and thresholds, restarts of single containers, ConfigMaps that change in place,
//! and an end in reverse order within the grace period. Users, capabilities, read-only roots and mounts are real. Not enforced
//! are resources, sizes of volumes and seccomp; what it does not know in a pod it refuses.
//!
//! Decisions are in `lifecycle`, `managed_container` and `probe`, which are told the time; the rest carries them out.

mod container;
mod environment;
mod event;
mod lifecycle;
mod managed_container;
mod manifest;
mod pod;
mod probe;
mod spec;
mod sync;
mod volume;

pub use container::Image;
pub use event::Event;
pub use managed_container::ProbeKind;
pub use pod::Pod;
pub use volume::Files;
