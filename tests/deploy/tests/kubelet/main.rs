//! The pod of the rendered chart, run by a small kubelet on a real tailnet: the real containerboot, tailscaled and telltail
//! with exactly the commands, environment, files and users that the chart gives them, and a worker with real drivers that
//! asks a real PostgreSQL and a real Valkey. Each test prints its time line.

mod cluster;
mod faults;
mod lifecycle;
mod start;
