//! Valkey's and Redis' command.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

/// What the server logs once it accepts connections.
pub const READY: &str = "Ready to accept connections";

/// Runs `program` at a port of these addresses, with these settings beside the defaults. It saves nothing of its own accord.
pub fn server(program: &Path, addresses: &[IpAddr], port: u16, settings: &[String]) -> Command {
    let mut server = Command::new(program);
    server.args(["--port", &port.to_string(), "--save", "", "--bind"]);
    server.args(addresses.iter().map(IpAddr::to_string)).args(settings);
    server
}

/// Settings as the server's arguments; a value may be several words.
pub fn arguments(settings: &[(&str, &str)]) -> Vec<String> {
    settings
        .iter()
        .flat_map(|(key, value)| std::iter::once(format!("--{key}")).chain(value.split(' ').map(ToOwned::to_owned)))
        .collect()
}
