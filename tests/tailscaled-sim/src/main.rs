//! Plays a small tailnet until it is told to end: two peers, a PostgreSQL and a Valkey behind them.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use tailscaled_sim::services::{Postgres, Server, Valkey};
use tailscaled_sim::{Peer, Tailscaled};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [option, path] = &arguments[..] else {
        return usage();
    };
    if option != "--socket" {
        return usage();
    }
    match run(PathBuf::from(path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "tailscaled-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    let _ = writeln!(
        io::stderr(),
        "usage: tailscaled-sim --socket PATH\nEnds at SIGTERM, SIGINT, or the end of its input."
    );
    ExitCode::from(64)
}

fn run(socket: PathBuf) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(play(socket));
    // Not waiting for the thread that still reads the input.
    runtime.shutdown_background();
    ended
}

async fn play(socket: PathBuf) -> io::Result<()> {
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let tailscaled = Tailscaled::at(&socket);
    let postgres = Server::start(Postgres::asking_for_password());
    let valkey = Server::start(Valkey::healthy());
    for (name, ip, port, addr) in [
        ("stackeye-db-prd", "100.64.0.2", 5432, postgres.addr()),
        ("stackeye-valkey-prd", "100.64.0.3", 6379, valkey.addr()),
    ] {
        tailscaled.add_peer(Peer::new(name).ip(ip).tag("tag:service"));
        tailscaled.forward(name, port, addr);
        writeln!(io::stdout(), "{name} {ip}:{port} is served at {addr}")?;
    }
    writeln!(io::stdout(), "LocalAPI at {}", socket.display())?;
    let mut input = [0; 256];
    let mut stdin = tokio::io::stdin();
    loop {
        tokio::select! {
            _ = terminated.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
            read = stdin.read(&mut input) => if read? == 0 { return Ok(()) },
        }
    }
}
