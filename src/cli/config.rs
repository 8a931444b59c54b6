//! `telltail config`: check, show or describe a configuration without running it.

use super::{CommandContext, EXIT_CONFIG, Exit, FileArgument};
use crate::config::{self, Environment, Loaded, Source};
use crate::fleet_load;
use clap::builder::StyledStr;
use clap::{Args, Subcommand};

/// The variables, for the help of every command that reads them.
pub const VARIABLES: VariablesHelp = VariablesHelp;

/// The text is made only when a command is built: it follows from the settings' declarations.
pub struct VariablesHelp;

impl From<VariablesHelp> for StyledStr {
    fn from(_: VariablesHelp) -> Self {
        config::help().into()
    }
}

const NOTES: &str = "
Server CPU: percent of one core, from measurements of one probe; for a failing server an upper bound, as if it still
accepted the connections. A pod's first probe comes within a second of its start, so the first probes of pods that start
together come together.
* at most, with log_connections on; with default settings a healthy probe logs nothing.
";

/// Check, show or describe a configuration.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand, Debug)]
enum ConfigCommand {
    /// Report every problem: exit code 0 for a valid configuration, 78 for one with problems.
    #[command(after_help = VARIABLES)]
    Check {
        #[command(flatten)]
        file: FileArgument,
        /// Also show the load that N pods with this configuration put on each server.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        pods: Option<u32>,
    },
    /// Print the effective configuration with all defaults, as YAML that can serve as the file.
    #[command(after_help = VARIABLES)]
    Show {
        #[command(flatten)]
        file: FileArgument,
    },
    /// Print the JSON Schema of the file, for an editor or a template's tests.
    Schema,
}

/// What the command prints.
#[derive(Debug, Default)]
struct ConfigOutput {
    code: u8,
    out: String,
    err: String,
}

impl ConfigArgs {
    /// Prints results to stdout, problems and warnings to stderr.
    pub fn run(self, context: &mut CommandContext) -> Result<u8, Exit> {
        let ConfigOutput { code, out, err } = self.output(context.environment());
        context.out.print(&out)?;
        context.err.print(&err)?;
        Ok(code)
    }

    fn output(self, environment: Environment) -> ConfigOutput {
        let (file, pods) = match self.command {
            ConfigCommand::Check { file, pods } => (file, Some(pods)),
            ConfigCommand::Show { file } => (file, None),
            ConfigCommand::Schema => {
                return ConfigOutput { out: format!("{:#}\n", config::json_schema()), ..ConfigOutput::default() };
            }
        };
        let loaded = match Source::new(environment, file.path).load() {
            Ok(loaded) => loaded,
            Err(problems) => {
                return ConfigOutput { code: EXIT_CONFIG, err: format!("{problems}\n"), ..ConfigOutput::default() };
            }
        };
        let mut output = ConfigOutput::default();
        output.err.extend(loaded.warnings.iter().map(|warning| format!("warning: {warning}\n")));
        match pods {
            None => output.out = config::show(&loaded.config),
            Some(pods) => {
                output.out = summary(&loaded);
                if let Some(pods) = pods {
                    output.load(&loaded, pods);
                }
            }
        }
        output
    }
}

fn summary(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let s = if config.targets.len() == 1 { "" } else { "s" };
    let mut text = format!("Configuration OK: {} target{s}, hash {}.\n", config.targets.len(), config.hash);
    for target in &config.targets {
        let required = if target.required { "required" } else { "optional" };
        let interval = humantime::format_duration(target.interval);
        text += &format!("  {:<20} {}  {required}, every {interval}\n", target.name, config::url(target));
    }
    text
}

impl ConfigOutput {
    fn load(&mut self, loaded: &Loaded, count: u32) {
        self.out += &format!("\nLoad of {count} pods on each server, per second:\n");
        let loads = fleet_load::loads(&loaded.config, count);
        for load in &loads {
            self.out += &format!("\n{} ({})\n", load.address, load.targets.join(", "));
            self.out += &format!("  {:<36} {:>11} {:>10} {:>12}\n", "", "connections", "server CPU", "log lines *");
            for (when, rate) in [
                ("at rest", load.rest),
                ("at onset of an outage", load.onset),
                ("while down", load.down),
                ("at recovery", load.recovery),
            ] {
                let cpu = rate.cores.map_or_else(|| "unknown".to_owned(), |cores| format!("{:.2} %", cores * 100.0));
                let (connections, log_lines) = (rate.connections, rate.log_lines);
                self.out += &format!("  {when:<36} {connections:>11.2} {cpu:>10} {log_lines:>12.2}\n");
            }
        }
        self.out += NOTES;
        for load in loads {
            let (peak, when) = load.peak();
            let limit = fleet_load::MAX_CONNECTIONS;
            if peak > limit {
                let advice = "raise `interval`, or probe from fewer pods";
                self.err +=
                    &format!("warning: {}: {peak:.1} connections/s {when}, above {limit}: {advice}\n", load.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TARGETS_VARIABLE;
    use clap::Parser;
    use std::io::Write;

    #[derive(Parser)]
    struct ConfigProgram {
        #[command(flatten)]
        config: ConfigArgs,
    }

    /// Exit code, what went to `out`, what went to `err`.
    fn run(arguments: &[&str], targets: &str) -> (u8, String, String) {
        let program = ConfigProgram::parse_from(["telltail-config"].iter().chain(arguments));
        let environment = [(TARGETS_VARIABLE, targets)].into_iter().collect();
        let ConfigOutput { code, out, err } = program.config.output(environment);
        (code, out, err)
    }

    #[test]
    fn a_good_configuration_is_checked_shown_and_fed_back() {
        let (code, out, err) = run(&["check"], "postgres://db,valkey://cache?required=false");
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.contains("2 targets") && out.contains("valkey://cache:6379  optional, every 10s"), "{out}");
        let (code, shown, _) = run(&["show"], "postgres://db");
        assert_eq!(code, 0);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(shown.as_bytes()).unwrap();
        let path = file.path().to_str().unwrap();
        assert_eq!(run(&["show", "--config", path], ""), (0, shown, String::new()));
    }

    #[test]
    fn problems_go_to_err_with_78() {
        let (code, out, err) = run(&["show"], "postgres://db?intervall=1s,tcp://x");
        assert_eq!((code, out.as_str()), (EXIT_CONFIG, ""));
        assert!(err.starts_with("2 problems in the configuration:\n  TELLTAIL_TARGETS: target 1: "), "{err}");
        let (code, _, err) = run(&["check", "--config", "absent.yaml"], "");
        assert!(code == EXIT_CONFIG && err.contains("absent.yaml: "), "{err}");
    }

    #[test]
    fn many_pods_are_warned_of() {
        let (code, out, err) = run(&["check", "--pods", "100"], "postgres://db");
        assert!(code == 0 && out.contains("at onset of an outage"), "{out}");
        assert!(err.contains("warning: db port 5432: 30.0 connections/s at onset, above 20"), "{err}");
        assert_eq!(run(&["check", "--pods", "10"], "postgres://db").2, "");
    }

    #[test]
    fn the_schema_is_json() {
        let (code, out, _) = run(&["schema"], "");
        assert!(code == 0 && serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{out}");
    }
}
