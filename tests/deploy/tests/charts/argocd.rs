//! The ApplicationSets name what is there.

use crate::workers;
use serde_json::Value;
use std::collections::BTreeSet;
use telltail_deploy::charts::{Mode, objects};
use telltail_deploy::pod::{list, text};
use telltail_testkit::repository;

fn read(file: &str) -> Value {
    objects(&std::fs::read_to_string(repository().join("deploy/argocd").join(file)).unwrap()).remove(0)
}

/// What the ApplicationSet makes: its template with each pair of the two lists.
fn applications(set: &Value) -> Vec<Value> {
    let generator = &set["spec"]["generators"][0];
    let both = list(&generator["matrix"]["generators"]);
    let lists = if both.is_empty() { std::slice::from_ref(generator) } else { both };
    let mut made = vec![set["spec"]["template"].to_string()];
    for elements in lists {
        let with = |template: &String| -> Vec<String> {
            let one = |element: &Value| {
                let pairs = element.as_object().unwrap().iter();
                pairs.fold(template.clone(), |all, (key, value)| all.replace(&format!("{{{{ .{key} }}}}"), text(value)))
            };
            list(&elements["list"]["elements"]).iter().map(one).collect()
        };
        made = made.iter().flat_map(with).collect();
    }
    made.iter().map(|one| serde_json::from_str(one).unwrap()).collect()
}

#[test]
fn there_is_an_application_for_every_cluster_and_environment() {
    let made = applications(&read("workers.yaml"));
    let placed: BTreeSet<(String, String)> = made
        .iter()
        .map(|one| &one["spec"]["destination"])
        .map(|to| (text(&to["name"]).to_owned(), text(&to["namespace"]).to_owned()))
        .collect();
    let workers = workers().iter().filter(|(worker, _)| worker.mode == Mode::Userspace);
    let expected: BTreeSet<_> =
        workers.map(|(worker, _)| (format!("stackeye-{}", worker.cluster), worker.namespace())).collect();
    assert_eq!((made.len(), placed), (6, expected));
    let names: BTreeSet<&str> = made.iter().map(|one| text(&one["metadata"]["name"])).collect();
    assert_eq!(names.len(), 6);
}

#[test]
fn applications_name_files_that_are_there_and_nothing_is_left_to_fill_in() {
    for set in ["workers.yaml", "monitoring.yaml"] {
        for application in applications(&read(set)) {
            assert!(!application.to_string().contains("{{"), "{application}");
            let source = &application["spec"]["source"];
            let chart = repository().join(text(&source["path"]));
            assert!(chart.join("Chart.yaml").exists(), "{source}");
            let files = list(&source["helm"]["valueFiles"]);
            for file in files {
                assert!(chart.join(text(file)).exists(), "{file}");
            }
            // The last one wins: a cluster's kill switch does, over every environment.
            assert!(files.last().is_none_or(|file| text(file).contains("/clusters/")), "{files:?}");
        }
    }
}

#[test]
fn the_project_permits_what_the_applications_need() {
    let project = &read("project.yaml")["spec"];
    for set in ["workers.yaml", "monitoring.yaml"] {
        for application in applications(&read(set)) {
            let spec = &application["spec"];
            assert!(list(&project["sourceRepos"]).contains(&spec["source"]["repoURL"]));
            let (cluster, namespace) = (&spec["destination"]["name"], text(&spec["destination"]["namespace"]));
            let permits = |one: &&Value| {
                let pattern = text(&one["namespace"]);
                let fits = pattern.strip_suffix('*').map_or(pattern == namespace, |start| namespace.starts_with(start));
                one["name"] == *cluster && fits
            };
            assert!(list(&project["destinations"]).iter().any(|one| permits(&one)), "{cluster} {namespace}");
        }
    }
    let permitted: BTreeSet<&str> =
        list(&project["namespaceResourceWhitelist"]).iter().map(|one| text(&one["kind"])).collect();
    for (_, rendered) in workers() {
        for object in rendered {
            assert!(permitted.contains(text(&object["kind"])), "{}", object["kind"]);
        }
    }
}
