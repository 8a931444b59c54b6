//! `/api/v1/status`: in every state as its schema says, and the story it tells.

use crate::harness::{Agent, Harness, PATIENCE, Setup};
use crate::reload::{FROM_FILE, File};
use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};
use std::time::Duration;
use tailscaled_sim::{BackendState, Severity, Tailscaled, Warning};
use telltail::agent::Signal;
use tokio::time::{Instant, sleep};

const CACHE: &str = "interval: 1600ms\ntimeout: 790ms\ntargets:\n  - valkey://cache:6379?name=cache\n";

/// The published schema, made strict: what it does not list may not be there.
struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    fn published() -> Self {
        let mut schema: Value = serde_json::from_str(include_str!("../../docs/status.schema.json")).expect("JSON");
        forbid_the_unlisted(&mut schema);
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        compiler.add_resource("https://telltail.test/status.json", schema).expect("a schema");
        let mut schemas = Schemas::new();
        let index = compiler.compile("https://telltail.test/status.json", &mut schemas).expect("a schema that holds");
        Self { schemas, index }
    }

    fn check(&self, document: &Value) {
        if let Err(error) = self.schemas.validate(document, self.index) {
            panic!("{error:#}\n{document:#}");
        }
    }

    /// The agent's status now.
    async fn status(&self, agent: &Agent) -> Value {
        let (code, text) = agent.get("/api/v1/status").await;
        assert_eq!(code, 200);
        assert!(!text.contains("login.tailscale.com"), "the AuthURL is a secret");
        assert!(text.bytes().all(|byte| byte == b'\n' || byte == b' ' || byte.is_ascii_graphic()), "{text}");
        let mut document: Value = serde_json::from_str(&text).expect("JSON");
        self.check(&document);
        let full = document.clone();
        forget_causes(&mut document);
        assert!(!document.to_string().contains("100.64."), "only a cause may name an address: {document:#}");
        full
    }

    async fn until(&self, agent: &Agent, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let document = self.status(agent).await;
            if wanted(&document) {
                return document;
            }
            assert!(begun.elapsed() < PATIENCE, "not in time: {what}\n{document:#}");
            sleep(Duration::from_millis(25)).await;
        }
    }
}

fn forbid_the_unlisted(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(forbid_the_unlisted);
            if fields.get("properties").is_some_and(Value::is_object) {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(forbid_the_unlisted),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn forget_causes(document: &mut Value) {
    match document {
        Value::Object(fields) => {
            fields.remove("cause");
            fields.values_mut().for_each(forget_causes);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_causes),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn state(document: &Value, target: usize) -> &str {
    document["targets"][target]["state"].as_str().expect("a word")
}

#[test]
fn the_check_against_the_schema_sees_a_wrong_type_an_unlisted_field_and_a_missing_one() {
    let schema = Schema::published();
    for wrong in [json!({}), json!([]), json!({"version": 2})] {
        assert!(schema.schemas.validate(&wrong, schema.index).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn from_unknown_over_up_and_derp_to_draining_the_document_is_as_its_schema_says() {
    let schema = Schema::published();
    let harness = Harness::around(Setup::Userspace, Tailscaled::absent());
    let targets = harness.targets("&expect=no-derp", "&required=false");
    let mut agent = harness.agent(&[("TELLTAIL_DRAIN", "60s"), ("TELLTAIL_TARGETS", &targets)]).await;
    let document = schema.until(&agent, "no socket", |document| !document["node"]["failure"].is_null()).await;
    assert_eq!(document["ready"], false);
    assert_eq!((state(&document, 0), &document["targets"][0]["last_probe"]), ("unknown", &Value::Null));
    assert_eq!(document["node"]["failure"]["reason"], "node_socket_missing");
    assert_eq!(document["startup_gate"], json!({"waits_for": "tailnet", "open": false, "cause": null}));

    harness.tailscaled.update_peer("db", |db| db.go_direct("192.0.2.7:41641"));
    harness.tailscaled.listen();
    let document = schema.until(&agent, "up", |document| state(document, 1) == "up").await;
    assert_eq!(document["verdict"], "Ready: all 2 targets are up.");
    assert_eq!(document["readiness"]["by_mode"], json!({"strict": true, "local": true, "observe": true}));
    let db = &document["targets"][0];
    assert_eq!((&db["name"], &db["host"], &db["required"]), (&json!("db"), &json!("db"), &json!(true)));
    assert_eq!((&db["via"], &db["worker_way_untested"]), (&json!("localapi"), &json!(true)));
    assert_eq!(db["last_probe"]["detail"], "answering");
    assert!(db["last_probe"]["stages"]["protocol_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{db:#}");
    assert_eq!(document["node"]["transitions"].as_array().map(Vec::len), Some(1));

    harness.tailscaled.update_peer("db", |db| db.go_derp("sfo"));
    harness.tailscaled.warn("no-derp-home", Warning { severity: Severity::High, ..Warning::new("no home") });
    let derp = |document: &Value| document["targets"][0]["path"]["kind"] == "derp";
    let document = schema.until(&agent, "derp", derp).await;
    let path = &document["targets"][0]["path"];
    assert_eq!((&path["region"], &path["unexpected"]), (&json!({"code": "sfo", "id": 2}), &json!(true)));
    let changes = document["targets"][0]["path_changes"].as_array().expect("a list");
    let story: Vec<_> = changes.iter().map(|change| (&change["from"], &change["to"])).collect();
    assert_eq!(story[0], (&json!("direct"), &json!("derp")));
    assert_eq!(changes[0]["region"]["code"], "sfo");
    assert_eq!(document["node"]["warnings"][0]["severity"], "high");

    agent.signals.send(Signal::Shutdown).await.expect("an agent");
    let document = schema.until(&agent, "draining", |document| document["readiness"]["draining"] == true).await;
    assert_eq!(
        (&document["ready"], &document["verdict"]),
        (&json!(false), &json!("Not ready: telltail is shutting down."))
    );
    agent.signals.send(Signal::Shutdown).await.expect("an agent");
    agent.ended().await;
}

#[tokio::test]
async fn an_outage_and_a_fault_of_the_node_are_told_with_their_evidence_and_outlive_a_reload() {
    const DB: usize = 1;
    let schema = Schema::published();
    let harness = Harness::new(Setup::Userspace);
    let targets = |db: &str| format!("{CACHE}  - postgres://db:5432?name=db{db}\n");
    let file = File::new(&targets(""));
    let agent = harness.agent_with(&FROM_FILE, Some(&file.path)).await;
    agent.ready().await;
    harness.db.stop();
    let document = schema.until(&agent, "down", |document| state(document, DB) == "down").await;
    let verdict = "Not ready: db is down, and the fault is with the service (connect_refused).";
    assert_eq!((&document["verdict"], &document["readiness"]["blocking"]), (&json!(verdict), &json!(["db"])));
    let down = &document["targets"][DB]["transitions"][0];
    for (field, value) in [("from", "up"), ("to", "down"), ("reason", "connect_refused"), ("scope", "service")] {
        assert_eq!(down[field], value, "{down:#}");
    }
    assert!(down["cause"].as_str().is_some_and(|cause| cause.contains("refused")), "{down:#}");
    assert!(down["stages"]["resolve_ms"].is_number() && down["stages"]["connect_ms"].is_null(), "{down:#}");
    assert!(down["lasted_seconds"].as_f64().is_some_and(|lasted| lasted > 0.0), "{down:#}");

    harness.tailscaled.set_backend_state(BackendState::Stopped);
    let document = schema.until(&agent, "node down", |document| document["node"]["state"] == "down").await;
    let verdict =
        "Not ready: this pod's tailscaled is at fault (node_stopped), and no target can be reached without it.";
    assert_eq!(document["verdict"], verdict);
    assert_eq!(document["node"]["transitions"][0]["reason"], "node_stopped");
    let document = schema.until(&agent, "cache down", |document| state(document, 0) == "down").await;
    assert_eq!(document["targets"][0]["transitions"][0]["reason"], "node_stopped");

    // The same service with other timing keeps its story; another service begins one.
    let story = |document: &Value, target: usize| document["targets"][target]["transitions"].as_array().map(Vec::len);
    let reloaded = |hash: Value| move |document: &Value| document["config"]["hash"] != hash;
    file.write(&targets("&interval=2600ms&timeout=1200ms"));
    agent.signals.send(Signal::Reload).await.expect("an agent");
    let document = schema.until(&agent, "reloaded", reloaded(document["config"]["hash"].clone())).await;
    assert_eq!((story(&document, DB), story(&document, 0)), (Some(2), Some(2)));
    file.write(&targets("&depth=tcp"));
    agent.signals.send(Signal::Reload).await.expect("an agent");
    let document = schema.until(&agent, "reloaded", reloaded(document["config"]["hash"].clone())).await;
    assert_eq!((story(&document, DB), story(&document, 0)), (Some(0), Some(2)));
    file.write("targets: 7\n");
    agent.signals.send(Signal::Reload).await.expect("an agent");
    let refused = |document: &Value| document["config"]["problems"] != json!([]);
    schema.until(&agent, "refused", refused).await;
}
