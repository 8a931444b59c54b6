//! What no schema says of the rendered objects, for every cluster × environment × way to run.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use telltail_deploy::charts::{Mode, objects, only};
use telltail_deploy::pod::{list, text};
use telltail_deploy::tools::{built, run};
use telltail_deploy::{Charts, Pod, Worker};
use telltail_testkit::repository;

use crate::workers;

/// Does `check` for every worker; the last line that a failed test prints says which one it was.
#[expect(clippy::print_stdout, reason = "a failed test shows it")]
fn each(check: impl Fn(Worker, &[Value])) {
    for (worker, rendered) in workers() {
        println!("{worker:?}");
        check(*worker, rendered);
    }
}

fn hosts(worker: Worker) -> [(String, u64); 2] {
    let environment = worker.environment;
    [(format!("stackeye-db-{environment}"), 5432), (format!("stackeye-valkey-{environment}"), 6379)]
}

#[test]
fn the_pod_is_wired_up() {
    each(|worker, rendered| {
        let pod = Pod::of(rendered);
        let names: Vec<&str> = pod.containers().map(|container| container.name()).collect();
        if worker.mode == Mode::AgentOff {
            assert_eq!(names, ["tailscale", "worker"]);
        } else {
            assert_eq!(names, ["tailscale", "telltail", "worker"]);
        }
        for container in pod.containers() {
            let sidecar = container.name() != "worker";
            assert_eq!(
                container.0["restartPolicy"] == "Always",
                sidecar,
                "{names:?} are native sidecars but the worker"
            );
            for mount in container.mounts() {
                assert!(pod.volume(text(&mount["name"])).is_some(), "{mount} has no volume");
            }
            for (kind, probe) in container.probes() {
                let port = text(&probe["httpGet"]["port"]);
                assert!(container.has_port(port), "{kind} asks port {port}, which the container does not have");
                assert!(probe["httpGet"]["host"].is_null());
            }
        }
        let used: BTreeSet<&str> =
            pod.containers().flat_map(|one| one.mounts()).map(|one| text(&one["name"])).collect();
        assert!(
            list(&pod.0["volumes"]).iter().all(|volume| used.contains(text(&volume["name"]))),
            "a volume is unused"
        );
    });
}

#[test]
fn the_socket_is_shared_by_the_two_sidecars_alone() {
    each(|worker, rendered| {
        let pod = Pod::of(rendered);
        let tailscale = pod.container("tailscale").unwrap();
        let folder = tailscale.mount("tailscale-socket").unwrap();
        assert!(folder["subPath"].is_null() && folder["readOnly"].is_null());
        assert!(pod.container("worker").unwrap().mounts().is_empty());
        if worker.mode == Mode::AgentOff {
            return;
        }
        let telltail = pod.container("telltail").unwrap();
        let ours = telltail.mount("tailscale-socket").unwrap();
        assert_eq!((&ours["readOnly"], &ours["mountPath"]), (&json!(true), &folder["mountPath"]));
        for container in [tailscale, telltail] {
            let socket = container.variable("TS_SOCKET").unwrap();
            assert!(socket.starts_with(text(&folder["mountPath"])), "{socket}");
        }
    });
}

#[test]
fn everybody_has_only_what_is_needed() {
    each(|worker, rendered| {
        let pod = Pod::of(rendered);
        let mut users = BTreeSet::new();
        for container in pod.containers() {
            let context = &container.0["securityContext"];
            assert!(users.insert(context["runAsUser"].as_u64()), "two containers share a user");
            if worker.mode == Mode::Tun && container.name() == "tailscale" {
                assert_eq!(context["capabilities"], json!({"drop": ["ALL"], "add": ["NET_ADMIN"]}));
                assert!(context["privileged"].is_null());
            } else {
                assert!(container.is_restricted(), "{}", container.0);
            }
            assert!(container.0["resources"]["requests"]["memory"].is_string());
            assert!(container.0["resources"]["limits"]["memory"].is_string());
            let limit = &container.0["resources"]["limits"]["cpu"];
            assert!(limit.is_null(), "throttling looks like a slow network");
        }
        assert_eq!(pod.0["automountServiceAccountToken"], false);
        for odd in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
            assert!(pod.0[odd].is_null(), "{odd}");
        }
        let host_paths = list(&pod.0["volumes"]).iter().filter(|volume| !volume["hostPath"].is_null());
        let expected: &[&str] = if worker.mode == Mode::Tun { &["/dev/net/tun"] } else { &[] };
        assert_eq!(host_paths.map(|volume| text(&volume["hostPath"]["path"])).collect::<Vec<_>>(), expected);
    });
}

#[test]
fn the_key_stays_in_its_secret() {
    each(|_, rendered| {
        assert!(rendered.iter().all(|object| object["kind"] != "Secret"));
        let pod = Pod::of(rendered);
        let tailscale = pod.container("tailscale").unwrap();
        let mounted = text(&tailscale.mount("tailscale-auth").unwrap()["mountPath"]);
        assert_eq!(tailscale.variable("TS_AUTHKEY"), Some(&*format!("file:{mounted}/authkey")));
        assert_eq!(pod.volume("tailscale-auth").unwrap()["secret"]["secretName"], "tailscale-auth");
        for container in pod.containers() {
            assert_eq!(container.mount("tailscale-auth").is_some(), container.name() == "tailscale");
            assert!(!container.0.to_string().contains("secretKeyRef"), "a variable is readable by all of /proc");
        }
        // Each pod a node of its own.
        assert_eq!(tailscale.variable("TS_KUBE_SECRET"), Some(""));
        assert_eq!(tailscale.variable("TS_HOSTNAME"), Some("metadata.name"));
    });
}

#[test]
fn the_worker_is_told_its_way_and_telltail_probes_it() {
    each(|worker, rendered| {
        let pod = Pod::of(rendered);
        let (tailscale, container) = (pod.container("tailscale").unwrap(), pod.container("worker").unwrap());
        let userspace = worker.mode != Mode::Tun;
        assert_eq!(tailscale.variable("TS_USERSPACE"), Some(if userspace { "true" } else { "false" }));
        let socks5 = userspace && worker.mode != Mode::Egress;
        assert_eq!(tailscale.variable("TS_SOCKS5_SERVER"), socks5.then_some("localhost:1055"));
        assert_eq!(container.variable("TAILNET_PROXY"), socks5.then_some("socks5h://localhost:1055"));
        assert_eq!(pod.0["dnsConfig"]["nameservers"][0] == "100.100.100.100", worker.mode == Mode::Tun);
        let arguments = tailscale.variable("TS_EXTRA_ARGS").unwrap();
        assert!(!arguments.contains("accept-routes") && arguments.contains("--shields-up"), "{arguments}");
        assert!(arguments.contains(&format!("--advertise-tags=tag:stackeye-worker-{}", worker.environment)));
        if worker.mode != Mode::AgentOff {
            let via = if socks5 { "socks5://localhost:1055" } else { "auto" };
            assert_eq!(configuration(rendered)["via"], via);
        }
    });
}

#[test]
fn every_place_names_the_same_targets() {
    each(|worker, rendered| {
        let container = Pod::of(rendered).container("worker").unwrap();
        for (variable, (host, port)) in ["DATABASE_ADDRESS", "VALKEY_ADDRESS"].into_iter().zip(hosts(worker)) {
            assert_eq!(container.variable(variable), Some(&*format!("{host}:{port}")));
        }
        if worker.mode != Mode::AgentOff {
            let [(db, _), (valkey, _)] = hosts(worker);
            let urls = json!([format!("postgres://{db}:5432"), format!("valkey://{valkey}:6379")]);
            assert_eq!(configuration(rendered)["targets"], urls);
        }
        if worker.mode == Mode::Egress {
            let services = rendered.iter().filter(|object| object["kind"] == "Service");
            let found = services
                .map(|one| (text(&one["metadata"]["name"]).to_owned(), one["spec"]["ports"][0]["port"].as_u64()));
            let expected = hosts(worker).map(|(host, port)| (host, Some(port)));
            assert_eq!(found.collect::<BTreeSet<_>>(), BTreeSet::from(expected.clone()));
            let proxies = only(rendered, "NetworkPolicy")["spec"]["egress"][3]["ports"].clone();
            let ports: Vec<Option<u64>> = list(&proxies).iter().map(|one| one["port"].as_u64()).collect();
            assert_eq!(ports, expected.map(|(_, port)| port));
        }
    });
}

#[test]
fn the_proxies_of_a_group_are_reached_at_their_own_ports() {
    let worker = Worker { mode: Mode::Egress, ..Worker::PRODUCTION };
    let rendered = Charts::prepare().render(worker, &["--set", "worker.tailscale.egress.proxyGroup=stackeye-egress"]);
    let rule = &only(&rendered, "NetworkPolicy")["spec"]["egress"][3];
    assert_eq!(rule["ports"], json!([{"port": 10000, "endPort": 10999, "protocol": "TCP"}]));
    let service = rendered.iter().find(|object| object["kind"] == "Service").unwrap();
    assert_eq!(service["metadata"]["annotations"]["tailscale.com/proxy-group"], "stackeye-egress");
}

#[test]
fn prometheus_finds_the_pods_and_labels_them() {
    each(|worker, rendered| {
        if worker.mode == Mode::AgentOff {
            assert!(rendered.iter().all(|object| object["kind"] != "PodMonitor" && object["kind"] != "ConfigMap"));
            return;
        }
        let monitor = only(rendered, "PodMonitor");
        // Two targets export at most 280 series, and the limit leaves room.
        assert!(monitor["spec"]["sampleLimit"].as_u64() >= Some(500));
        let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
        let container = Pod::of(rendered).container("telltail").unwrap();
        assert!(container.has_port(text(&endpoint["port"])));
        let labels = &only(rendered, "Deployment")["spec"]["template"]["metadata"]["labels"];
        let selector = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
        assert!(!selector.is_empty() && selector.iter().all(|(name, value)| labels[name] == *value));
        let set: BTreeSet<(&str, &str)> = list(&endpoint["relabelings"])
            .iter()
            .map(|one| (text(&one["targetLabel"]), text(&one["replacement"])))
            .collect();
        let expected = [("job", "telltail"), ("cluster", worker.cluster), ("environment", worker.environment)];
        assert_eq!(set, BTreeSet::from(expected));
    });
}

#[test]
fn images_are_pinned_and_names_fit() {
    each(|worker, rendered| {
        for object in rendered {
            assert!(text(&object["metadata"]["name"]).len() <= 63);
            assert_eq!(object["metadata"]["namespace"], worker.namespace());
        }
        for container in Pod::of(rendered).containers() {
            let (_, tag) = text(&container.0["image"]).rsplit_once(':').expect("a tag");
            assert!(tag.trim_start_matches('v').split('.').all(|part| part.parse::<u32>().is_ok()), "{tag}");
        }
    });
}

#[test]
fn a_digest_is_added_to_the_tag() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let rendered =
        Charts::prepare().render(Worker::PRODUCTION, &["--set", &format!("worker.tailscale.image.digest={digest}")]);
    let image = &Pod::of(&rendered).container("tailscale").unwrap().0["image"];
    assert_eq!(*image, format!("tailscale/tailscale:v1.102.5@{digest}"));
}

#[test]
fn a_change_of_the_readiness_mode_rolls_nothing() {
    let observe = ["--set", "worker.tailscale.agent.config.readiness=observe"];
    let charts = Charts::prepare();
    let (before, after) = (charts.render(Worker::PRODUCTION, &[]), charts.render(Worker::PRODUCTION, &observe));
    assert_ne!(only(&before, "ConfigMap"), only(&after, "ConfigMap"));
    assert_eq!(only(&before, "Deployment"), only(&after, "Deployment"));
}

#[test]
fn a_drain_of_a_node_does_not_wait_for_unready_pods() {
    each(|_, rendered| {
        let budget = &only(rendered, "PodDisruptionBudget")["spec"];
        assert_eq!(budget["unhealthyPodEvictionPolicy"], "AlwaysAllow");
        assert_eq!(budget["selector"], only(rendered, "Deployment")["spec"]["selector"]);
    });
}

#[test]
fn rules_and_dashboards_are_carried_as_they_are() {
    let charts = Charts::prepare();
    let chart = charts.deploy().join("helm/telltail-monitoring");
    let rendered = objects(&run(built("helm").args(["template", "telltail"]).arg(chart)));
    let source = repository().join("dashboards");
    let rules = std::fs::read_to_string(source.join("rules/telltail.rules.yaml")).unwrap();
    assert_eq!(only(&rendered, "PrometheusRule")["spec"], objects(&rules)[0]);
    let carried: BTreeMap<&str, &str> = rendered
        .iter()
        .filter(|object| object["kind"] == "ConfigMap")
        .flat_map(|object| object["data"].as_object().unwrap())
        .map(|(name, dashboard)| (name.as_str(), text(dashboard)))
        .collect();
    let files = std::fs::read_dir(&source).unwrap().map(|entry| entry.unwrap().path());
    let dashboards: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|extension| extension == "json")).collect();
    assert_eq!((carried.len(), dashboards.is_empty()), (dashboards.len(), false));
    for file in dashboards {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert_eq!(carried[name].trim_end(), std::fs::read_to_string(&file).unwrap().trim_end(), "{name}");
    }
}

#[test]
fn the_charts_belong_to_this_release() {
    let cargo = env!("CARGO_PKG_VERSION");
    for chart in ["telltail", "stackeye-worker", "telltail-monitoring"] {
        let file = repository().join(format!("deploy/helm/{chart}/Chart.yaml"));
        let chart = objects(&std::fs::read_to_string(file).unwrap()).remove(0);
        assert_eq!(chart["version"], cargo);
        for dependency in list(&chart["dependencies"]) {
            assert_eq!(dependency["version"], cargo);
        }
    }
}

/// telltail's file in the rendered ConfigMap.
fn configuration(rendered: &[Value]) -> Value {
    objects(text(&only(rendered, "ConfigMap")["data"]["telltail.yaml"])).remove(0)
}
