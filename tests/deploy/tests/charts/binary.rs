//! What the charts tell telltail is what the real telltail understands.

use crate::workers;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use telltail_deploy::charts::only;
use telltail_deploy::pod::text;
use telltail_deploy::tools::{output, telltail};
use telltail_deploy::{Charts, Pod, Worker};
use telltail_testkit::Process;
use tempfile::TempDir;

/// telltail with the rendered variables and the rendered file; only the file's and the socket's place differ.
fn as_rendered(rendered: &[serde_json::Value]) -> (TempDir, Command) {
    let folder = TempDir::new().unwrap();
    let container = Pod::of(rendered).container("telltail").unwrap();
    let mounted = text(&container.mount("telltail-config").unwrap()["mountPath"]);
    for (name, content) in only(rendered, "ConfigMap")["data"].as_object().unwrap() {
        std::fs::write(folder.path().join(name), text(content)).unwrap();
    }
    let mut command = telltail();
    command.env_clear();
    for (name, value) in container.env() {
        command.env(name, value.replace(mounted, &folder.path().to_string_lossy()));
    }
    (folder, command)
}

#[test]
fn every_rendered_configuration_holds() {
    for (worker, rendered) in workers().iter().filter(|(worker, _)| worker.has_telltail()) {
        let (_folder, mut command) = as_rendered(rendered);
        let answer = output(command.args(["config", "check"]));
        let (stdout, stderr) = (String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
        assert!(answer.status.success(), "{worker:?}: {stderr}");
        assert!(stdout.contains("2 targets"), "{worker:?} reads another file: {stdout}");
        assert_eq!(stderr, "", "{worker:?}");
    }
}

#[tokio::test]
async fn every_rendered_path_is_served() {
    let rendered =
        Charts::prepare().render(Worker::PRODUCTION, &["--set", "worker.tailscale.agent.scrapeAnnotations=true"]);
    let (folder, mut command) = as_rendered(&rendered);
    let container = Pod::of(&rendered).container("telltail").unwrap();
    let port = container.0["ports"][0]["containerPort"].as_u64().unwrap();
    command.args(container.0["args"].as_array().unwrap().iter().map(text));
    let running = RunningAgent::start(command.env("TELLTAIL_LISTEN", "127.0.0.1:0"), &folder).await;

    let mut paths: Vec<&str> = container.probes().map(|(_, probe)| text(&probe["httpGet"]["path"])).collect();
    assert_eq!(paths, ["/startupz", "/healthz", "/livez"]);
    let annotations = &only(&rendered, "Deployment")["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["prometheus.io/port"], port.to_string());
    paths.push(text(&annotations["prometheus.io/path"]));
    for path in paths {
        assert!([200, 503].contains(&running.get(path)), "{path}: {}", running.get(path));
    }
    assert_eq!(running.get("/no-such-path"), 404);
    // The port is the binary's own default: the configuration does not name it.
    assert_eq!(port, u64::from(telltail::admin::PORT));
}

struct RunningAgent {
    _process: Process,
    address: String,
}

impl RunningAgent {
    async fn start(command: &mut Command, folder: &TempDir) -> Self {
        let process = Process::spawn(command, folder.path().join("telltail.log"));
        let address = process.until_some("it has started", async || {
            let log = process.log();
            // Whole lines alone: one may be under way.
            let mut lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let started = lines.find(|line| line.contains("\"Started\""))?;
            let started: serde_json::Value = serde_json::from_str(started).unwrap();
            Some(text(&started["address"]).to_owned())
        });
        Self { address: address.await, _process: process }
    }

    fn get(&self, path: &str) -> u16 {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: telltail\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
    }
}
