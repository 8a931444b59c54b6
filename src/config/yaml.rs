//! YAML text → a small tree in which every node knows its location.
//!
//! A tree of our own instead of serde: a deserializer stops at the first value of the wrong type, and we report every
//! problem at once. Only what a configuration needs: one document of mappings, lists and scalars. Anchors,
//! aliases and tags are refused, so nothing expands; depth, nodes and bytes are bounded.

use super::problem::{Problems, SourceLocation};
use granit_parser::{Event, Marker, Parser, ScalarStyle, StrInput};

/// Longest file in bytes: a whole fleet's worth of targets is a tenth of it.
pub const MAX_FILE_BYTES: usize = 256 * 1024;
/// Deepest sensible nesting is 3 (mapping, list, mapping).
const MAX_DEPTH: usize = 8;
/// 64 targets with every key are about 1,200 nodes.
const MAX_NODES: usize = 8192;

/// A value and where it begins.
#[derive(Debug)]
pub(super) struct YamlNode {
    pub location: SourceLocation,
    pub value: YamlValue,
}

/// The kinds of values.
#[derive(Debug)]
pub(super) enum YamlValue {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar, as text: its reader knows what it should be.
    Text(String),
    List(Vec<YamlNode>),
    /// Keys in the order of the file, duplicates included.
    Map(Vec<(String, SourceLocation, YamlNode)>),
}

impl YamlValue {
    /// For "is a list, not …".
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Null => "empty",
            Self::Text(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// The one document in `bytes`.
///
/// Nothing, with a problem noted, when it is too long, not UTF-8, empty, or not YAML of the kind we take.
pub(super) fn read(path: &str, bytes: &[u8], problems: &mut Problems) -> Option<YamlNode> {
    let location = |line, column| SourceLocation::File { path: path.to_owned(), line, column };
    if bytes.len() > MAX_FILE_BYTES {
        problems.add(&location(1, 1), format!("the file is longer than {} KiB", MAX_FILE_BYTES / 1024));
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let before = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default());
            let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
            problems.add(&location(before.matches('\n').count() + 1, column), not_utf8(bytes));
            return None;
        }
    };
    match TreeBuilder::new(path, text).document() {
        Ok(Some(node)) if !matches!(node.value, YamlValue::Null) => Some(node),
        Ok(_) => {
            problems.add(&location(1, 1), "the file is empty: it needs at least `targets`");
            None
        }
        Err((location, sentence)) => {
            problems.add(&location, sentence);
            None
        }
    }
}

fn not_utf8(bytes: &[u8]) -> &'static str {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "the file is UTF-16: save it as UTF-8",
        _ => "the file is not UTF-8 here",
    }
}

type LocatedError = (SourceLocation, String);

/// Turns the parser's events into nodes. It stops at the first error of syntax, because what follows cannot be trusted.
struct TreeBuilder<'a> {
    path: &'a str,
    text: &'a str,
    events: Parser<'a, StrInput<'a>>,
    nodes: usize,
}

impl<'a> TreeBuilder<'a> {
    fn new(path: &'a str, text: &'a str) -> Self {
        let options = granit_parser::options! {
            disallow_directives: true,
            flow_nesting_limit: MAX_DEPTH,
            block_nesting_limit: MAX_DEPTH,
        };
        Self { path, text, events: Parser::new_from_str_with_options(text, options), nodes: 0 }
    }

    fn document(&mut self) -> Result<Option<YamlNode>, LocatedError> {
        let mut root = None;
        while let Some((event, location)) = self.next()? {
            if !event.is_node() {
                continue;
            }
            if root.is_some() {
                return Err((location, "a second YAML document begins here: one is allowed".to_owned()));
            }
            root = Some(self.node(event, location)?);
        }
        Ok(root)
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, SourceLocation)>, LocatedError> {
        match self.events.next_event().transpose() {
            Ok(found) => Ok(found.map(|(event, span)| (event, self.location(&span.start)))),
            Err(error) => {
                // Many write `listen: [::]:8245`, which is a list in YAML.
                let written = self.text.lines().nth(error.marker().line().saturating_sub(1)).unwrap_or_default();
                let hint = if written.contains(": [") { "; a value that begins with `[` needs quotes" } else { "" };
                Err((self.location(error.marker()), format!("not YAML: {}{hint}", error.info())))
            }
        }
    }

    fn location(&self, marker: &Marker) -> SourceLocation {
        SourceLocation::File { path: self.path.to_owned(), line: marker.line().max(1), column: marker.col() + 1 }
    }

    fn node(&mut self, event: Event<'a>, location: SourceLocation) -> Result<YamlNode, LocatedError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err((location, format!("the file has more than {MAX_NODES} values")));
        }
        if event.anchor_id().is_some() || event.is_alias() {
            return Err((location, "anchors and aliases are not supported: write the value out".to_owned()));
        }
        if event.tag().is_some() {
            return Err((location, "tags (`!…`) are not supported".to_owned()));
        }
        let value = if let Event::Scalar(text, style, ..) = &event {
            scalar(text, *style)
        } else if matches!(event, Event::SequenceStart(..)) {
            self.list()?
        } else if matches!(event, Event::MappingStart(..)) {
            self.mapping()?
        } else {
            return Err((location, "this is not supported".to_owned()));
        };
        Ok(YamlNode { location, value })
    }

    fn list(&mut self) -> Result<YamlValue, LocatedError> {
        let mut list = Vec::new();
        while let Some((event, location)) = self.next()? {
            if event == Event::SequenceEnd {
                break;
            }
            list.push(self.node(event, location)?);
        }
        Ok(YamlValue::List(list))
    }

    fn mapping(&mut self) -> Result<YamlValue, LocatedError> {
        let mut map = Vec::new();
        while let Some((event, location)) = self.next()? {
            if event == Event::MappingEnd {
                break;
            }
            let key = self.node(event, location)?;
            let YamlValue::Text(name) = key.value else {
                return Err((key.location, "a key must be a single word".to_owned()));
            };
            let Some((event, location)) = self.next()? else { break };
            map.push((name, key.location, self.node(event, location)?));
        }
        Ok(YamlValue::Map(map))
    }
}

fn scalar(text: &str, style: ScalarStyle) -> YamlValue {
    match (style, text) {
        (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => YamlValue::Null,
        _ => YamlValue::Text(text.to_owned()),
    }
}
