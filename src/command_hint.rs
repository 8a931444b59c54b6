//! The command to run next, where to run it, and how to get there from outside of the pod.

use std::path::{Path, PathBuf};

/// Where to run which command, or which log to read. A command has placeholders: `{name}`, `{host}`, `{fqdn}`, `{address}`,
/// `{port}`, `{url}`, `{socket}`, and `{local_check}`, which checks the target's service on its own machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandHint {
    /// A command in the tailscale container, run by the container's own user.
    Sidecar(&'static str),
    /// Arguments of telltail, the only program in its container.
    Agent(&'static str),
    /// A command on the target's machine.
    Machine(&'static str),
    /// The log of the tailscale container.
    Log,
}

/// A command without placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellCommand {
    /// The machine on which it is run; none where it is run where kubectl runs.
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

/// The pod and namespace for kubectl commands, and tailscaled's socket.
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
        let socket = pod.socket.as_deref().unwrap_or(Path::new(CLI_SOCKET)).display().to_string();
        let fill = |template| subject.fill(template, &socket);
        let (on, line) = match self {
            // The path of the socket on that machine is unknown here.
            Self::Machine(template) => (Some(subject.host.clone()), fill(template)),
            Self::Sidecar(template) => {
                let line = match template.strip_prefix("tailscale ") {
                    Some(rest) if socket != CLI_SOCKET => format!("tailscale --socket={socket} {}", fill(rest)),
                    _ => fill(template),
                };
                (None, pod.exec("tailscale", &line))
            }
            Self::Agent(template) => {
                let program = if pod.pod.is_some() { "/telltail" } else { "telltail" };
                (None, pod.exec("telltail", &format!("{program} {}", fill(template))))
            }
            Self::Log => (None, pod.log()),
        };
        ShellCommand { on, line }
    }
}

impl CommandSubject {
    /// The template with its placeholders filled.
    fn fill(&self, template: &str, socket: &str) -> String {
        let port = self.port.to_string();
        [
            ("{local_check}", self.local_check.as_str()),
            ("{name}", &self.name),
            ("{host}", &self.host),
            ("{fqdn}", &self.fqdn),
            ("{address}", &self.address),
            ("{port}", &port),
            ("{url}", &self.url),
            ("{socket}", socket),
        ]
        .into_iter()
        .fold(template.to_owned(), |line, (placeholder, value)| line.replace(placeholder, value))
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

    fn line(hint: CommandHint, pod: &PodContext) -> String {
        let subject =
            CommandSubject { name: "db".into(), host: "stackeye-db".into(), port: 5432, ..CommandSubject::default() };
        hint.command(&subject, pod).line
    }

    #[test]
    fn a_command_reaches_into_the_pod_from_outside() {
        let pod = [("KUBERNETES_SERVICE_HOST", "10.96.0.1"), ("HOSTNAME", "worker-1"), ("POD_NAMESPACE", "prd")];
        let pod = context(&pod, Some(CLI_SOCKET));
        let ping = line(CommandHint::Sidecar("tailscale ping --c=3 {host}"), &pod);
        assert_eq!(ping, "kubectl exec -n prd worker-1 -c tailscale -- tailscale ping --c=3 stackeye-db");
        let check = line(CommandHint::Agent("check {name}"), &pod);
        assert_eq!(check, "kubectl exec -n prd worker-1 -c telltail -- /telltail check db");
        assert_eq!(line(CommandHint::Log, &pod), "kubectl logs -n prd worker-1 -c tailscale --tail=50");
        assert_eq!(line(CommandHint::Machine("ss -ltn sport = :{port}"), &pod), "ss -ltn sport = :5432");
    }

    #[test]
    fn outside_of_kubernetes_it_is_run_beside_telltail() {
        let pod = context(&[("HOSTNAME", "laptop")], Some("/tmp/tailscaled.sock"));
        assert_eq!(
            line(CommandHint::Sidecar("tailscale status"), &pod),
            "tailscale --socket=/tmp/tailscaled.sock status"
        );
        assert_eq!(line(CommandHint::Sidecar("getent hosts {host}"), &pod), "getent hosts stackeye-db");
        assert_eq!(line(CommandHint::Agent("check {name}"), &pod), "telltail check db");
        assert_eq!(line(CommandHint::Log, &pod), "journalctl -u tailscaled -n 50");
    }
}
