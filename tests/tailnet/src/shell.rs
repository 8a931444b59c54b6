//! A line typed in a shell, where `kubectl` leads into the namespaces of nodes as it would into the containers of pods.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use telltail_testkit::telltail;

use crate::{lab::program, node::Node, process::Output};

/// Understands `exec [-n NAMESPACE] POD -c CONTAINER -- WORDS…` and `logs [-n NAMESPACE] POD -c CONTAINER --tail=LINES`. A
/// node is its pod, and its containers differ in nothing but the programs.
const KUBECTL: &str = r#"#!/bin/sh
verb=$1; shift
[ "$1" = -n ] && shift 2
[ "$1" = "$NODE" ] || { echo "pod \"$1\" not found" >&2; exit 1; }
[ "$2" = -c ] || { echo "no container is named" >&2; exit 1; }
container=$3; shift 3
case "$verb $container $1" in
    "exec tailscale --") shift; exec "$@" ;;
    "exec telltail --") [ "$2" = /telltail ] || exit 126; shift 2; exec "$TELLTAIL" "$@" ;;
    "logs tailscale --tail="*) exec tail -n "${1#--tail=}" "$FOLDER/tailscaled.log" ;;
esac
echo "not understood: $verb $container $*" >&2
exit 64
"#;

/// Like a machine's own: it knows where tailscaled is without being told, and can be told.
const TAILSCALE: &str = r#"#!/bin/sh
case "$1" in
    --socket=*) exec "$TAILSCALE" "$@" ;;
    *) exec "$TAILSCALE" --socket="$SOCKET" "$@" ;;
esac
"#;

/// Runs a line in a node's shell.
pub async fn run_in_shell(node: &Node, line: &str) -> Output {
    let tools = node.folder().join("tools");
    fs::create_dir_all(&tools).expect("the tailnet's folder is writable");
    for (name, script) in [("kubectl", KUBECTL), ("tailscale", TAILSCALE)] {
        script_at(&tools.join(name), script);
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).env("NODE", node.name()).env("FOLDER", node.folder()).env("SOCKET", node.socket());
    shell.env("TAILSCALE", program(&format!("{}/tailscale", node.version().number()))).env("TELLTAIL", telltail());
    shell.env("TELLTAIL_SOCKET", node.socket());
    let path = format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", tools.display());
    node.run(shell.env("PATH", path)).await
}

fn script_at(path: &Path, script: &str) {
    if !path.exists() {
        fs::write(path, script).expect("the folder is writable");
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("an own file");
    }
}
