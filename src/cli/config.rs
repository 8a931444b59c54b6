//! `telltail config`: look at a configuration without running it.

use super::{EXIT_CONFIG, FileArgument};
use crate::config::{self, Environment, Loaded, Source, pods};
use clap::{Args, Subcommand};
use std::io::{self, Write};

/// The variables, for the help of every command that reads them.
pub const VARIABLES: &str = "\
Environment (each overrides the key of the same name in the file):
  TELLTAIL_CONFIG           the file, where --config names none
  TELLTAIL_TARGETS          what to probe: URLs separated by commas or spaces, such as
                            postgres://db:5432,valkey://cache:6379?required=false
  TELLTAIL_SOCKET           tailscaled's socket [else TS_SOCKET, else the two usual places]
  TELLTAIL_LISTEN           address and port of /healthz and /metrics [[::]:8245]
  TELLTAIL_INTERVAL         time from probe to probe [10s]
  TELLTAIL_TIMEOUT          longest time for one probe, below half the interval [3s]
  TELLTAIL_RISE             successes that bring a target that was down up again [2]
  TELLTAIL_FALL             failures that take a target down [3]
  TELLTAIL_READINESS        strict, local or observe [strict]
  TELLTAIL_STARTUP_GATE     tailnet, targets or none [tailnet]
  TELLTAIL_STARTUP_RELEASE  when /startupz opens in any case [90s]
  TELLTAIL_DRAIN            how long to go on answering after SIGTERM [2s]
  TELLTAIL_VIA              auto, localapi, tcp or socks5://HOST:PORT [auto]
  TELLTAIL_LOG              off, error, warn, info, debug or trace [info]
  TELLTAIL_LOG_FORMAT       json or text [json]

Parameters of a target's URL: name, required, interval, timeout, via, depth (tcp, protocol),
expect (any, no-derp, direct).";

const NOTES: &str = "
Server CPU: percent of one core, by our measurements of one probe; while a server fails it is the most it would be if
the server still took the connections. A pod's first probe comes within a second of its start, so pods that start in
the same second come in the same second.
* with log_connections on, at most; with default settings a healthy probe leaves no line.
";

/// Check, show or describe a configuration.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand, Debug)]
enum ConfigCommand {
    /// Say everything that is wrong, or nothing: exit code 0 when it holds, 78 when it does not.
    #[command(after_help = VARIABLES)]
    Check {
        #[command(flatten)]
        file: FileArgument,
        /// Also say what N pods with this configuration do to each server.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        pods: Option<u32>,
    },
    /// Print what holds, every default written out, as YAML that can serve as the file.
    #[command(after_help = VARIABLES)]
    Show {
        #[command(flatten)]
        file: FileArgument,
    },
    /// Print the JSON Schema of the file, for an editor or a template's tests.
    Schema,
}

impl ConfigArgs {
    /// Does what was asked for: results to `out`, problems and warnings to `err`. Gives the exit code.
    ///
    /// # Errors
    /// When `out` or `err` cannot be written to.
    pub fn run(self, environment: Environment, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
        let (file, pods) = match self.command {
            ConfigCommand::Check { file, pods } => (file, Some(pods)),
            ConfigCommand::Show { file } => (file, None),
            ConfigCommand::Schema => {
                writeln!(out, "{:#}", config::json_schema())?;
                return Ok(0);
            }
        };
        let loaded = match Source::new(environment, file.path).load() {
            Ok(loaded) => loaded,
            Err(problems) => {
                writeln!(err, "{problems}")?;
                return Ok(EXIT_CONFIG);
            }
        };
        for warning in &loaded.warnings {
            writeln!(err, "warning: {warning}")?;
        }
        match pods {
            None => write!(out, "{}", config::show(&loaded.config))?,
            Some(pods) => {
                check(&loaded, out)?;
                if let Some(pods) = pods {
                    load_of(&loaded, pods, out, err)?;
                }
            }
        }
        Ok(0)
    }
}

fn check(loaded: &Loaded, out: &mut dyn Write) -> io::Result<()> {
    let config = &loaded.config;
    let s = if config.targets.len() == 1 { "" } else { "s" };
    writeln!(out, "The configuration holds: {} target{s}, hash {}.", config.targets.len(), config.hash)?;
    for target in &config.targets {
        let required = if target.required { "required" } else { "optional" };
        let interval = humantime::format_duration(target.interval);
        writeln!(out, "  {:<20} {}  {required}, every {interval}", target.name, config::url(target))?;
    }
    Ok(())
}

fn load_of(loaded: &Loaded, count: u32, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nWhat {count} pods do to each server, per second:")?;
    let loads = pods::loads(&loaded.config, count);
    for load in &loads {
        writeln!(out, "\n{} ({})", load.address, load.targets.join(", "))?;
        writeln!(out, "  {:<36} {:>11} {:>10} {:>12}", "", "connections", "server CPU", "log lines *")?;
        for (when, rate) in [
            ("at rest", load.rest),
            ("at onset of an outage", load.onset),
            ("while down", load.down),
            ("at recovery", load.recovery),
        ] {
            let cpu = rate.cores.map_or_else(|| "unknown".to_owned(), |cores| format!("{:.2} %", cores * 100.0));
            writeln!(out, "  {when:<36} {:>11.2} {cpu:>10} {:>12.2}", rate.connections, rate.log_lines)?;
        }
    }
    write!(out, "{NOTES}")?;
    for load in loads {
        let (most, when) = load.peak();
        if most > pods::MOST_CONNECTIONS {
            let limit = pods::MOST_CONNECTIONS;
            let advice = "raise `interval`, or probe from fewer pods";
            writeln!(err, "warning: {}: {most:.1} connections/s {when}, above {limit}: {advice}", load.address)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Setting, TARGETS_VARIABLE};
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        config: ConfigArgs,
    }

    /// Exit code, what went to `out`, what went to `err`.
    fn run(arguments: &[&str], targets: &str) -> (u8, String, String) {
        let program = Program::parse_from(["telltail-config"].iter().chain(arguments));
        let environment = [(TARGETS_VARIABLE, targets)].into_iter().collect();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = program.config.run(environment, &mut out, &mut err).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
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

    #[test]
    fn the_help_names_every_variable() {
        for setting in Setting::ALL {
            assert!(VARIABLES.contains(&format!("  {} ", setting.variable())), "{setting:?}");
        }
    }
}
