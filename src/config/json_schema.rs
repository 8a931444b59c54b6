//! The JSON Schema of the file, for editors and for those who render it.

use super::settings::{MAX_TARGETS, TARGETS, URL, target_defaults};
use super::settings_macro::Setting;
use super::{Config, Kind, Target};
use serde_json::{Map, Value, json};

/// The schema, draft 2020-12. It knows the shape and the keywords; rules between values (the timeout below half the
/// interval, unique names) are [`super::load`]'s.
pub fn json_schema() -> Value {
    let defaults = Config::with_defaults(Vec::new(), String::new());
    let own = Config::SETTINGS.iter().map(|setting| property(setting, setting.doc.trim(), Some(&defaults)));
    let inherited = target_defaults().map(|setting| {
        let doc = format!("{} For targets without their own.", setting.doc.trim());
        property(setting, &doc, common_default(setting).as_ref())
    });
    let mut properties: Map<String, Value> = own.chain(inherited).collect();
    properties.insert(TARGETS.to_owned(), targets());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "telltail configuration",
        "description": "The file that `telltail run --config FILE` reads. Variables named TELLTAIL_… override it.",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn targets() -> Value {
    let parameters = Target::SETTINGS.iter();
    let mut properties: Map<String, Value> =
        parameters.map(|setting| property(setting, setting.doc.trim(), common_default(setting).as_ref())).collect();
    properties.insert(URL.to_owned(), url());
    json!({
        "description": "What to probe: a URL with parameters, or a mapping with `url` and the same names as keys.",
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_TARGETS,
        "items": {"oneOf": [
            url(),
            {"type": "object", "required": [URL], "additionalProperties": false, "properties": properties},
        ]},
    })
}

fn url() -> Value {
    let schemes: Vec<String> =
        Kind::ALL.into_iter().flat_map(Kind::schemes).map(|scheme| in_any_case(scheme)).collect();
    json!({
        "description": "postgres://[user@]host[:port][/database], valkey://host[:port] or tcp://host:port. No password.",
        "type": "string",
        "pattern": format!("^(?:{})://", schemes.join("|")),
    })
}

/// JSON Schema's regular expressions have no flag for "in any case".
fn in_any_case(text: &str) -> String {
    text.chars().map(|c| format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase())).collect()
}

fn property<T>(setting: &Setting<T>, doc: &str, defaults: Option<&T>) -> (String, Value) {
    let mut schema = (setting.schema)(doc, defaults);
    if let Some(schema) = schema.as_object_mut().filter(|schema| schema.get("default").is_some_and(Value::is_null)) {
        schema.remove("default");
    }
    (setting.key.to_owned(), schema)
}

/// A target with the setting's default; none where the default depends on the URL.
fn common_default(setting: &Setting<Target>) -> Option<Target> {
    let [postgres, tcp] = [Kind::Postgres, Kind::Tcp].map(Target::without_url);
    ((setting.yaml)(&postgres) == (setting.yaml)(&tcp)).then_some(postgres)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_that_depends_on_the_url_is_left_out() {
        let schema = json_schema();
        let target = &schema["properties"][TARGETS]["items"]["oneOf"][1]["properties"];
        assert_eq!(
            (&schema["properties"]["rise"]["default"], &target["interval"]["default"]),
            (&json!(2), &json!("10s"))
        );
        assert!(target["depth"].get("default").is_none() && target["name"].get("default").is_none(), "{target}");
    }
}
