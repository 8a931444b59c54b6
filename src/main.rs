//! The `telltail` binary: arguments in, exit code out.

use clap::Parser;
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use telltail::admin::PORT;
use telltail::cli::check::check;
use telltail::cli::run::{Exit, run};
use telltail::cli::{Cli, Command, EXIT_CONFIG, EXIT_INTERNAL, EXIT_USAGE, FileArgument, doctor, health, status, wait};
use telltail::config::{Config, Environment, Listen, Source, Target};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Where the text cannot be written there is nobody to read it.
            let _ = error.print();
            return if asked { ExitCode::SUCCESS } else { EXIT_USAGE.into() };
        }
    };
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| (EXIT_INTERNAL, format!("no runtime: {error}")))
        .and_then(|runtime| runtime.block_on(execute(cli.command)));
    match done {
        Ok(code) => code.into(),
        Err((code, problem)) => {
            let _ = writeln!(stderr(), "telltail: {problem}");
            code.into()
        }
    }
}

async fn execute(command: Command) -> Result<u8, Exit> {
    match command {
        Command::Run(file) => run(environment(), file.path, pod_uid()).await.map(|()| 0),
        Command::Check { target, json, file } => {
            let (config, name) = check_config(&target, file)?;
            let found = config.targets.into_iter().find(|one| name.is_none_or(|name| one.name == name));
            let found = found.ok_or((EXIT_USAGE, format!("no target is called {target}; name one or give a URL")))?;
            let report = check(Target::clone(&found), config.socket).await;
            if json {
                print(&format!("{:#}\n", report.json()))?;
            } else {
                report.print(&mut stdout()).map_err(unwritten)?;
            }
            Ok(report.exit_code())
        }
        Command::Doctor { json, bundle, file } => {
            let config = load(environment(), file).map_err(|(_, problems)| (doctor::EXIT_NOT_RUN, problems))?;
            let report = doctor::doctor(&config, reachable(config.listen)).await;
            match bundle {
                Some(file) => doctor::write_bundle(&report, &config, &file, &mut stdout())?,
                None if json => print(&format!("{:#}\n", report.json()))?,
                None => report.print(coloured(), &mut stdout()).map_err(unwritten)?,
            }
            Ok(report.exit_code())
        }
        Command::Health { verbose, file } => {
            let config = load(environment(), file)?;
            let agent = reachable(config.listen);
            let (ready, page) = health::health(agent).await.map_err(|error| (1, format!("{agent}: {error}")))?;
            match (verbose, ready) {
                (true, _) => print(&page)?,
                (false, true) => print("ready\n")?,
                (false, false) => print("not ready; see --verbose\n")?,
            }
            Ok(u8::from(!ready))
        }
        Command::Status { form, file } => {
            let agent = reachable(load(environment(), file)?.listen);
            status::run(agent, form, &mut stdout()).await
        }
        Command::Wait { patience, file } => {
            let agent = reachable(load(environment(), file)?.listen);
            wait::run(agent, patience, &mut stdout()).await
        }
        Command::Config(command) => command.run(environment(), &mut stdout(), &mut stderr()).map_err(unwritten),
    }
}

/// Colours are for terminals, and not for those who ask for none (no-color.org).
fn coloured() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn environment() -> Environment {
    std::env::vars_os().collect()
}

/// A URL stands for itself, with the rest of the environment as it is; anything else is a configured target's name.
fn check_config(target: &str, file: FileArgument) -> Result<(Config, Option<&str>), Exit> {
    if !target.contains("://") {
        return Ok((load(environment(), file)?, Some(target)));
    }
    // The file's targets are not asked for, but where tailscaled's socket is.
    let file = file.path.or_else(|| environment().file()).map(|path| FileArgument { path: Some(path) });
    let socket = file.map(|file| load(environment(), file)).transpose()?.and_then(|config| config.socket);
    let others = std::env::vars_os().filter(|(name, _)| name != "TELLTAIL_TARGETS" && name != "TELLTAIL_CONFIG");
    let environment = others.chain([(OsString::from("TELLTAIL_TARGETS"), OsString::from(target))]).collect();
    let config = load(environment, FileArgument { path: None })?;
    Ok((Config { socket: config.socket.clone().or(socket), ..config }, None))
}

fn load(environment: Environment, file: FileArgument) -> Result<Config, Exit> {
    let loaded = Source::new(environment, file.path).load().map_err(|problems| (EXIT_CONFIG, problems))?;
    Ok(loaded.config)
}

fn reachable(listen: Listen) -> SocketAddr {
    match listen {
        Listen::Default => (Ipv4Addr::LOCALHOST, PORT).into(),
        Listen::At(address) => match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
            IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
            IpAddr::V4(_) | IpAddr::V6(_) => address,
        },
    }
}

/// The downward API's `POD_UID`, else the host name, which in a pod is the pod's name.
fn pod_uid() -> String {
    let named = ["POD_UID", "HOSTNAME"].iter().find_map(|name| std::env::var(name).ok());
    named.unwrap_or_else(|| std::process::id().to_string())
}

fn print(text: &str) -> Result<(), Exit> {
    stdout().write_all(text.as_bytes()).map_err(unwritten)
}

fn unwritten(error: std::io::Error) -> Exit {
    (EXIT_INTERNAL, format!("the output could not be written: {error}"))
}
