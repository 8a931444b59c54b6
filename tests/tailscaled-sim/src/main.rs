//! Plays a small tailnet until it is told to end: two peers, a PostgreSQL and a Valkey behind them. Commands on its
//! input change it.

mod commands;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tailscaled_sim::services::{Postgres, Server, Valkey};
use tailscaled_sim::{Peer, Tailscaled};
use tokio::io::{AsyncBufReadExt, BufReader};
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
        "usage: tailscaled-sim --socket PATH\nEnds at SIGTERM, SIGINT, or the end of its input.\n\n{}",
        commands::HELP
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

/// PostgreSQL's machine.
const DATABASE: &str = "stackeye-db-prd";

/// What is played.
struct Demo {
    tailscaled: Tailscaled,
    postgres: Server<Postgres>,
    valkey: Server<Valkey>,
}

impl Demo {
    fn set_up(socket: &Path) -> io::Result<Self> {
        let tailscaled = Tailscaled::at(socket);
        let postgres = Server::start(Postgres::asking_for_password());
        let valkey = Server::start(Valkey::healthy());
        let demo = Self { tailscaled, postgres, valkey };
        for (name, ip, port, addr) in [
            (DATABASE, "100.64.0.2", 5432, demo.postgres.addr()),
            ("stackeye-valkey-prd", "100.64.0.3", 6379, demo.valkey.addr()),
        ] {
            demo.tailscaled.add_peer(Peer::new(name).ip(ip).tag("tag:service"));
            demo.tailscaled.forward(name, port, addr);
            writeln!(io::stdout(), "{name} {ip}:{port} is served at {addr}")?;
        }
        Ok(demo)
    }
}

async fn play(socket: PathBuf) -> io::Result<()> {
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let demo = Demo::set_up(&socket)?;
    writeln!(io::stdout(), "LocalAPI at {}", socket.display())?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            _ = terminated.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
            line = lines.next_line() => match line? {
                None => return Ok(()),
                Some(line) if commands::run(&line, &demo) => writeln!(io::stdout(), "done: {line}")?,
                Some(line) => writeln!(io::stderr(), "unknown command: {line}\n{}", commands::HELP)?,
            },
        }
    }
}
