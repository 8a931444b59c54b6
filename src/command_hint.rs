//! The command to run next: what, where, and how to get there from outside of the pod.

use std::path::{Path, PathBuf};

/// Where a command is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunIn {
    /// In the tailscale container, as the user that it runs as.
    Sidecar,
    /// In telltail's own container, which has no other program.
    Agent,
    /// On the target's machine.
    Machine,
    /// Not at all: it is the log of the tailscale container that is read, and the template is not used.
    Log,
}

/// A command with placeholders: `{name}`, `{host}`, `{fqdn}`, `{address}`, `{port}`, `{url}`, `{socket}` and `{ask}`, a
/// command that checks the target's service on its own machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandHint {
    /// Where it is run.
    pub run_in: RunIn,
    /// The command line with placeholders.
    pub template: &'static str,
}

/// A command without placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellCommand {
    /// The machine on which it is run; none for the one from which a person looks at the pod.
    pub on: Option<String>,
    /// The command line.
    pub line: String,
}

/// What a command is about; empty where it is about no target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandSubject {
    /// The target's name.
    pub name: String,
    /// Its host as configured.
    pub host: String,
    /// Its full name in the tailnet; its host where that is unknown.
    pub fqdn: String,
    /// Its address in the tailnet; its host where that is unknown.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Its URL.
    pub url: String,
    /// The command that checks its service on its own machine.
    pub local_check: String,
}

/// Where telltail runs, as far as commands depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodContext {
    /// The pod's name; none outside of Kubernetes.
    pub pod: Option<String>,
    /// The pod's namespace; none where it is unknown.
    pub namespace: Option<String>,
    /// tailscaled's socket as configured.
    pub socket: Option<PathBuf>,
}

/// Where the `tailscale` program looks for tailscaled by default.
const CLI_SOCKET: &str = "/var/run/tailscale/tailscaled.sock";
/// Enough log lines to contain the cause of a failed start, few enough for a screen.
const LOG_LINES: u8 = 50;

impl CommandHint {
    /// The command with its placeholders filled.
    pub fn command(self, subject: &CommandSubject, pod: &PodContext) -> ShellCommand {
        let line = self.fill(subject, pod);
        match self.run_in {
            RunIn::Machine => ShellCommand { on: Some(subject.host.clone()), line },
            RunIn::Sidecar => ShellCommand { on: None, line: pod.exec("tailscale", &line) },
            RunIn::Agent => {
                let program = if pod.pod.is_some() { "/telltail" } else { "telltail" };
                ShellCommand { on: None, line: pod.exec("telltail", &format!("{program} {line}")) }
            }
            RunIn::Log => ShellCommand { on: None, line: pod.log() },
        }
    }

    fn fill(self, subject: &CommandSubject, pod: &PodContext) -> String {
        let socket = pod.socket.as_deref().unwrap_or(Path::new(CLI_SOCKET)).display().to_string();
        // The path of the socket on the target's machine is unknown here.
        let line = match self.template.strip_prefix("tailscale ").filter(|_| self.run_in == RunIn::Sidecar) {
            Some(rest) if socket != CLI_SOCKET => format!("tailscale --socket={socket} {rest}"),
            _ => self.template.to_owned(),
        };
        let port = subject.port.to_string();
        [
            ("{ask}", &subject.local_check),
            ("{name}", &subject.name),
            ("{host}", &subject.host),
            ("{fqdn}", &subject.fqdn),
            ("{address}", &subject.address),
            ("{port}", &port),
            ("{url}", &subject.url),
            ("{socket}", &socket),
        ]
        .into_iter()
        .fold(line, |line, (placeholder, value)| line.replace(placeholder, value))
    }
}

impl PodContext {
    /// Reads the variables that Kubernetes sets, and those that our manifests set from the downward API.
    pub fn of(variable: impl Fn(&str) -> Option<String>, socket: Option<PathBuf>) -> Self {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let pod =
            variable("KUBERNETES_SERVICE_HOST").and_then(|_| variable("POD_NAME").or_else(|| variable("HOSTNAME")));
        let namespace = variable("POD_NAMESPACE");
        Self { pod, namespace, socket }
    }

    fn exec(&self, container: &str, line: &str) -> String {
        match &self.pod {
            Some(pod) => format!("kubectl exec{} {pod} -c {container} -- {line}", self.in_namespace()),
            None => line.to_owned(),
        }
    }

    fn log(&self) -> String {
        match &self.pod {
            Some(pod) => format!("kubectl logs{} {pod} -c tailscale --tail={LOG_LINES}", self.in_namespace()),
            None => format!("journalctl -u tailscaled -n {LOG_LINES}"),
        }
    }

    fn in_namespace(&self) -> String {
        self.namespace.as_ref().map(|namespace| format!(" -n {namespace}")).unwrap_or_default()
    }
}

impl ShellCommand {
    /// ` on MACHINE`; empty where no machine is named.
    pub fn host_suffix(&self) -> String {
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

    fn line(run_in: RunIn, template: &'static str, pod: &PodContext) -> String {
        let subject =
            CommandSubject { name: "db".into(), host: "stackeye-db".into(), port: 5432, ..CommandSubject::default() };
        CommandHint { run_in, template }.command(&subject, pod).line
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
    fn outside_of_kubernetes_it_is_run_beside_telltail() {
        let pod = context(&[("HOSTNAME", "laptop")], Some("/tmp/tailscaled.sock"));
        assert_eq!(line(RunIn::Sidecar, "tailscale status", &pod), "tailscale --socket=/tmp/tailscaled.sock status");
        assert_eq!(line(RunIn::Sidecar, "getent hosts {host}", &pod), "getent hosts stackeye-db");
        assert_eq!(line(RunIn::Agent, "check {name}", &pod), "telltail check db");
        assert_eq!(line(RunIn::Log, "", &pod), "journalctl -u tailscaled -n 50");
    }
}
