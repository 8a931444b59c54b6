//! `telltail doctor`: whose fault it is, now.

use super::{EXIT_INTERNAL, ask};
use crate::agent::MAGIC_DNS;
use crate::command_hint::PodContext;
use crate::config::Config;
use crate::doctor::{Agent, Place, Report, bundle, examine};
use crate::probe::resolver::Resolver;
use crate::tailscale::SOCKETS;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// It could not run.
pub const EXIT_NOT_RUN: u8 = 3;

/// Where the pod's own resolver is described.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What the doctor finds; `agent` is where one may be running.
pub async fn doctor(config: &Config, agent: SocketAddr) -> Report {
    let running = running(agent).await;
    examine(config, &place(config), running).await
}

fn place(config: &Config) -> Place {
    let owner = |path: &Path| fs::metadata(path).ok().map(|socket| socket.uid());
    let usual = || SOCKETS.iter().map(PathBuf::from).find(|path| path.exists());
    let socket = config.socket.clone().or_else(usual);
    Place {
        magic_dns: MAGIC_DNS,
        resolver: Resolver::read(Path::new(RESOLV_CONF)),
        // The folder belongs to whoever looks.
        uid: owner(Path::new("/proc/self")).unwrap_or_default(),
        socket_owner: socket.as_deref().and_then(owner),
        home: PodContext::of(|name| std::env::var(name).ok(), socket),
    }
}

/// The pages of an agent that runs beside this.
async fn running(agent: SocketAddr) -> Option<Agent> {
    let (_, document) = ask::status(agent).await.ok()?;
    let metrics = ask::ask(agent, "/metrics").await.map(|(_, page)| page).unwrap_or_default();
    Some(Agent { document, metrics })
}

/// Writes the bundle to a file, which only its owner can read, or to `out` where the file is `-`.
pub fn write_bundle(report: &Report, config: &Config, file: &Path, out: &mut dyn Write) -> Result<(), (u8, String)> {
    let text = format!("{:#}\n", bundle(report, config));
    let failed =
        |error: io::Error| (EXIT_INTERNAL, format!("{}: {error}; `--bundle -` writes to stdout", file.display()));
    if file == Path::new("-") {
        return out.write_all(text.as_bytes()).map_err(failed);
    }
    let options = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file);
    // A file that was there keeps its mode.
    let written = options.and_then(|mut file| {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())
    });
    written.map_err(failed)
}
