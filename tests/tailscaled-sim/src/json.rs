//! JSON as Go's encoder writes it: fields in the order of the struct, maps sorted, a tab for each level.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A value on its way out.
#[derive(Clone, Debug)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Struct(Fields),
    Map(BTreeMap<String, Json>),
}

/// A struct's fields in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Vec<(&'static str, Json)>);

impl Fields {
    pub(crate) fn set(mut self, name: &'static str, value: impl Into<Json>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    /// A field that its definition omits when empty, or that a version does not have.
    pub(crate) fn set_if(self, wanted: bool, name: &'static str, value: impl Into<Json>) -> Self {
        if wanted { self.set(name, value) } else { self }
    }

    /// The fields without the braces, so that something can be streamed between two halves of a struct.
    pub(crate) fn lines(&self, depth: usize) -> String {
        let mut out = String::new();
        for (at, (name, value)) in self.0.iter().enumerate() {
            out.push_str(if at == 0 { "" } else { ",\n" });
            indent(&mut out, depth);
            let _ = write!(out, "\"{name}\": ");
            value.render(&mut out, depth);
        }
        out
    }
}

impl Json {
    /// Strings, or `null` where Go has a nil slice.
    pub(crate) fn texts<T: ToString>(values: &[T]) -> Self {
        if values.is_empty() { Json::Null } else { Json::List(values.iter().map(|v| v.to_string().into()).collect()) }
    }

    /// On one line, and its end.
    pub(crate) fn line(&self) -> String {
        let mut out = String::new();
        self.compact(&mut out);
        out.push('\n');
        out
    }

    fn compact(&self, out: &mut String) {
        match self {
            Json::Null | Json::Bool(_) | Json::Int(_) | Json::Float(_) | Json::Text(_) => self.render(out, 0),
            Json::List(values) => join(out, ['[', ']'], values.iter().map(|value| (None, value))),
            Json::Struct(Fields(fields)) => {
                join(out, ['{', '}'], fields.iter().map(|(name, value)| (Some(*name), value)));
            }
            Json::Map(map) => join(out, ['{', '}'], map.iter().map(|(name, value)| (Some(name.as_str()), value))),
        }
    }

    pub(crate) fn render(&self, out: &mut String, depth: usize) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Json::Int(value) => drop(write!(out, "{value}")),
            Json::Float(value) => drop(write!(out, "{value}")),
            Json::Text(value) => out.push_str(&quote(value)),
            Json::List(values) => nest(out, depth, ['[', ']'], values.iter().map(|value| (None, value))),
            Json::Struct(Fields(fields)) => {
                nest(out, depth, ['{', '}'], fields.iter().map(|(name, value)| (Some(*name), value)));
            }
            Json::Map(map) => {
                nest(out, depth, ['{', '}'], map.iter().map(|(name, value)| (Some(name.as_str()), value)))
            }
        }
    }
}

fn nest<'a>(
    out: &mut String,
    depth: usize,
    ends: [char; 2],
    values: impl Iterator<Item = (Option<&'a str>, &'a Json)>,
) {
    out.push(ends[0]);
    let mut empty = true;
    for (name, value) in values {
        out.push_str(if empty { "\n" } else { ",\n" });
        empty = false;
        indent(out, depth + 1);
        if let Some(name) = name {
            let _ = write!(out, "{}: ", quote(name));
        }
        value.render(out, depth + 1);
    }
    if !empty {
        out.push('\n');
        indent(out, depth);
    }
    out.push(ends[1]);
}

fn join<'a>(out: &mut String, ends: [char; 2], values: impl Iterator<Item = (Option<&'a str>, &'a Json)>) {
    out.push(ends[0]);
    for (at, (name, value)) in values.enumerate() {
        out.push_str(if at == 0 { "" } else { "," });
        if let Some(name) = name {
            let _ = write!(out, "{}:", quote(name));
        }
        value.compact(out);
    }
    out.push(ends[1]);
}

pub(crate) fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n('\t', depth));
}

/// Go also escapes what could end a script element.
pub(crate) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Json::Bool(value)
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Self {
        Json::Int(value)
    }
}

impl From<&str> for Json {
    fn from(value: &str) -> Self {
        Json::Text(value.to_owned())
    }
}

impl From<String> for Json {
    fn from(value: String) -> Self {
        Json::Text(value)
    }
}

impl From<Fields> for Json {
    fn from(value: Fields) -> Self {
        Json::Struct(value)
    }
}

impl From<BTreeMap<String, Json>> for Json {
    fn from(value: BTreeMap<String, Json>) -> Self {
        Json::Map(value)
    }
}
