//! The next command to type: what, where, and how one gets there from outside of the pod.

use std::path::{Path, PathBuf};

/// Where a command is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunIn {
    /// In the tailscale container, as the user that it runs as.
    Sidecar,
    /// In telltail's own container, which holds nothing but telltail.
    Agent,
    /// On the target's machine.
    Machine,
    /// The log of the tailscale container; the words are not used.
    Log,
}

/// A command with its gaps: `{name}`, `{host}`, `{fqdn}`, `{address}`, `{port}`, `{url}`, `{socket}` and `{ask}`, which is
/// how the target's service is asked on its own machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandHint {
    /// Where it is typed.
    pub at: RunIn,
    /// Its words.
    pub words: &'static str,
}

/// A command that can be typed as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellCommand {
    /// The machine on which it is typed; none for the one from which the pod is looked at.
    pub on: Option<String>,
    /// Its words.
    pub line: String,
}

/// What a command is about; empty where it is about no target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The target's name.
    pub name: String,
    /// Its host as configured.
    pub host: String,
    /// Its full name in the tailnet, or its host where that is not known.
    pub fqdn: String,
    /// Its address in the tailnet, or its host where that is not known.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Its URL.
    pub url: String,
    /// How its service is asked on its own machine.
    pub ask: String,
}

/// Where telltail runs, as far as commands depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodContext {
    /// The pod's name; none outside of Kubernetes.
    pub pod: Option<String>,
    /// The pod's namespace; none where nobody tells.
    pub namespace: Option<String>,
    /// tailscaled's socket as configured.
    pub socket: Option<PathBuf>,
}

/// Where the `tailscale` program looks for tailscaled if it is not told.
const CLI_SOCKET: &str = "/var/run/tailscale/tailscaled.sock";
/// Lines of a log in which the cause of a failed start is, and that fit on a screen.
const LINES: u8 = 50;

impl CommandHint {
    /// The command as it is typed.
    pub fn command(self, subject: &Subject, pod: &PodContext) -> ShellCommand {
        let words = self.filled(subject, pod);
        match self.at {
            RunIn::Machine => ShellCommand { on: Some(subject.host.clone()), line: words },
            RunIn::Sidecar => ShellCommand { on: None, line: pod.inside("tailscale", &words) },
            RunIn::Agent => {
                let program = if pod.pod.is_some() { "/telltail" } else { "telltail" };
                ShellCommand { on: None, line: pod.inside("telltail", &format!("{program} {words}")) }
            }
            RunIn::Log => ShellCommand { on: None, line: pod.log() },
        }
    }

    fn filled(self, subject: &Subject, pod: &PodContext) -> String {
        let socket = pod.socket.as_deref().unwrap_or(Path::new(CLI_SOCKET)).display().to_string();
        // Where tailscaled's socket is on the target's machine, nobody here knows.
        let words = match self.words.strip_prefix("tailscale ").filter(|_| self.at == RunIn::Sidecar) {
            Some(rest) if socket != CLI_SOCKET => format!("tailscale --socket={socket} {rest}"),
            _ => self.words.to_owned(),
        };
        let port = subject.port.to_string();
        [
            ("{ask}", &subject.ask),
            ("{name}", &subject.name),
            ("{host}", &subject.host),
            ("{fqdn}", &subject.fqdn),
            ("{address}", &subject.address),
            ("{port}", &port),
            ("{url}", &subject.url),
            ("{socket}", &socket),
        ]
        .into_iter()
        .fold(words, |words, (gap, value)| words.replace(gap, value))
    }
}

impl PodContext {
    /// Reads the variables that Kubernetes sets, or its downward API by the names that charts give.
    pub fn of(variable: impl Fn(&str) -> Option<String>, socket: Option<PathBuf>) -> Self {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let pod =
            variable("KUBERNETES_SERVICE_HOST").and_then(|_| variable("POD_NAME").or_else(|| variable("HOSTNAME")));
        let namespace = variable("POD_NAMESPACE");
        Self { pod, namespace, socket }
    }

    fn inside(&self, container: &str, words: &str) -> String {
        match &self.pod {
            Some(pod) => format!("kubectl exec{} {pod} -c {container} -- {words}", self.in_namespace()),
            None => words.to_owned(),
        }
    }

    fn log(&self) -> String {
        match &self.pod {
            Some(pod) => format!("kubectl logs{} {pod} -c tailscale --tail={LINES}", self.in_namespace()),
            None => format!("journalctl -u tailscaled -n {LINES}"),
        }
    }

    fn in_namespace(&self) -> String {
        self.namespace.as_ref().map(|namespace| format!(" -n {namespace}")).unwrap_or_default()
    }
}

impl ShellCommand {
    /// What stands before the command: where it is typed.
    pub fn place(&self) -> String {
        self.on.as_ref().map(|machine| format!(" on {machine}")).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(variables: &[(&str, &str)], socket: Option<&str>) -> PodContext {
        let value = |name: &str| variables.iter().find(|(have, _)| *have == name).map(|(_, value)| (*value).to_owned());
        PodContext::of(value, socket.map(PathBuf::from))
    }

    fn line(at: RunIn, words: &'static str, pod: &PodContext) -> String {
        let subject = Subject { name: "db".into(), host: "stackeye-db".into(), port: 5432, ..Subject::default() };
        CommandHint { at, words }.command(&subject, pod).line
    }

    #[test]
    fn a_command_reaches_into_the_pod_from_outside() {
        let pod = [("KUBERNETES_SERVICE_HOST", "10.96.0.1"), ("HOSTNAME", "worker-1"), ("POD_NAMESPACE", "prd")];
        let pod = context(&pod, Some(CLI_SOCKET));
        let ping = line(RunIn::Sidecar, "tailscale ping --c=3 {host}", &pod);
        assert_eq!(ping, "kubectl exec -n prd worker-1 -c tailscale -- tailscale ping --c=3 stackeye-db");
        let check = line(RunIn::Agent, "check {name}", &pod);
        assert_eq!(check, "kubectl exec -n prd worker-1 -c telltail -- /telltail check db");
        assert_eq!(line(RunIn::Log, "", &pod), "kubectl logs -n prd worker-1 -c tailscale --tail=50");
        assert_eq!(line(RunIn::Machine, "ss -ltn sport = :{port}", &pod), "ss -ltn sport = :5432");
    }

    #[test]
    fn outside_of_kubernetes_it_is_typed_where_telltail_runs() {
        let pod = context(&[("HOSTNAME", "laptop")], Some("/tmp/tailscaled.sock"));
        assert_eq!(line(RunIn::Sidecar, "tailscale status", &pod), "tailscale --socket=/tmp/tailscaled.sock status");
        assert_eq!(line(RunIn::Sidecar, "getent hosts {host}", &pod), "getent hosts stackeye-db");
        assert_eq!(line(RunIn::Agent, "check {name}", &pod), "telltail check db");
        assert_eq!(line(RunIn::Log, "", &pod), "journalctl -u tailscaled -n 50");
    }
}
