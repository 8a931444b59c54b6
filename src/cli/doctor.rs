//! `telltail doctor`: every check for every target, now.

use super::config::VARIABLES;
use super::{AgentClient, CommandContext, EXIT_INTERNAL, Exit, FileArgument, doctor_text};
use crate::agent::MAGIC_DNS;
use crate::command_hint::PodContext;
use crate::config::Config;
use crate::doctor::{DoctorEnv, RunningAgent, bundle, examine};
use crate::probe::resolver::Resolver;
use crate::tailscale::SOCKETS;
use crate::untrusted::make_visible;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Run every check, from tailscaled's socket to each service's answer, and tell whose fault a failure is
///
/// Needs no running agent. Exit status: 0 all targets are up, 1 a required one is down, 2 only optional ones are, 3 the
/// doctor could not run.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = VARIABLES)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write a bundle for a ticket to the new file FILE, or to stdout if it is `-`, with sensitive data redacted
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    file: FileArgument,
}

/// The doctor could not run.
const EXIT_NOT_RUN: u8 = 3;

/// The configuration of the pod's resolver.
const RESOLV_CONF: &str = "/etc/resolv.conf";

impl DoctorArgs {
    /// Runs every check and prints the report.
    pub async fn run(self, context: &mut CommandContext) -> Result<u8, Exit> {
        let config = context.load(self.file).map_err(|exit| Exit { code: EXIT_NOT_RUN, ..exit })?;
        // Before the checks: an answer of this moment must not be lost to a wrong path.
        let file = self.bundle.as_deref().filter(|file| *file != Path::new("-")).map(BundleFile::create).transpose()?;
        let agent = running_agent(AgentClient::new(config.listen)).await;
        let report = examine(&config, &environment(&config, context), agent).await;
        match (file, &self.bundle) {
            (Some(file), _) => file.write(&make_visible(&format!("{:#}\n", bundle(&report, &config))))?,
            (None, Some(_)) => context.out.print_json(&bundle(&report, &config))?,
            (None, None) if self.json => context.out.print_json(&report.json())?,
            (None, None) => {
                let text = doctor_text::render(&report, context.out.palette());
                context.out.print(&text)?;
            }
        }
        Ok(report.exit_code())
    }
}

fn environment(config: &Config, context: &CommandContext) -> DoctorEnv {
    let owner = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.uid());
    let existing = || SOCKETS.iter().map(PathBuf::from).find(|path| path.exists());
    let socket = config.socket.clone().or_else(existing);
    DoctorEnv {
        magic_dns: MAGIC_DNS,
        resolver: Some(Resolver::read(Path::new(RESOLV_CONF))),
        // The folder belongs to this process's user.
        uid: owner(Path::new("/proc/self")).unwrap_or_default(),
        socket_owner: socket.as_deref().and_then(owner),
        pod: PodContext::of(|name| context.variable(name), socket),
    }
}

/// The pages of the running agent; none where no compatible one answers.
async fn running_agent(agent: AgentClient) -> Option<RunningAgent> {
    let (_, document) = agent.status().await.ok()?;
    let metrics = agent.metrics().await.unwrap_or_default();
    Some(RunningAgent { document, metrics })
}

/// The file of a bundle, which only its owner can read.
struct BundleFile<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> BundleFile<'a> {
    /// A new file. What exists under that name is neither followed nor changed: a link could lead to a file of somebody
    /// else, whose owner may not even know of the other name.
    fn create(path: &'a Path) -> Result<Self, Exit> {
        let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        Ok(Self { path, file: opened.map_err(|error| Self::failed(path, &error))? })
    }

    fn write(mut self, text: &str) -> Result<(), Exit> {
        self.file.write_all(text.as_bytes()).map_err(|error| Self::failed(self.path, &error))
    }

    fn failed(path: &Path, error: &io::Error) -> Exit {
        let advice = "name a new file, or write to stdout with `--bundle -`";
        Exit::new(EXIT_INTERNAL, format!("{}: {error}; {advice}", path.display()))
    }
}
