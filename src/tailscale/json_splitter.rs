//! Splits the response to `status`, or the lines of the IPN bus, into raw JSON values while they arrive. A tailnet of
//! any size needs little memory.

use super::malformed_json::{MAX_VALUE, MalformedJson};

/// A part of the document, as raw JSON.
#[derive(Debug, PartialEq)]
pub enum JsonPart<'a> {
    /// A member of the outermost object.
    Field(&'a [u8], &'a [u8]),
    /// Name and first byte of a member of the outermost object that is not wanted; the byte shows whether it is `null`.
    Skipped(&'a [u8], u8),
    /// A member's value of the object `Peer`.
    Peer(&'a [u8]),
    /// The end of an object that another may follow.
    End,
}

/// Takes bytes by [`JsonSplitter::feed`] and emits parts.
#[derive(Debug)]
pub struct JsonSplitter {
    wanted: &'static [&'static str],
    /// Objects follow one another, and `Peer` has no special meaning.
    lines: bool,
    state: SplitState,
    in_peers: bool,
    key: Vec<u8>,
    value: Vec<u8>,
    position: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum SplitState {
    Object,
    FirstKey,
    Key,
    InKey { escaped: bool },
    Colon,
    Value,
    InString { depth: u32, escaped: bool },
    InContainer { depth: u32 },
    InScalar,
    Comma,
    Done,
}

impl JsonSplitter {
    /// A splitter that emits the peers and the `wanted` fields of the outermost object.
    pub fn new(wanted: &'static [&'static str]) -> Self {
        let (key, value) = (Vec::new(), Vec::new());
        Self { wanted, lines: false, state: SplitState::Object, in_peers: false, key, value, position: 0 }
    }

    /// A splitter for any number of objects, one after another, that emits their `wanted` fields.
    pub fn lines(wanted: &'static [&'static str]) -> Self {
        Self { lines: true, ..Self::new(wanted) }
    }

    /// Takes the next bytes and passes each complete part to `emit`.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        mut emit: impl FnMut(JsonPart<'_>) -> Result<(), MalformedJson>,
    ) -> Result<(), MalformedJson> {
        for &byte in bytes {
            if self.state == SplitState::InScalar && matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t') {
                self.complete(&mut emit)?;
            }
            if self.step(byte)? {
                self.complete(&mut emit)?;
            }
            self.position += 1;
            if self.lines && self.state == SplitState::Done {
                self.state = SplitState::Object;
                emit(JsonPart::End)?;
            }
        }
        Ok(())
    }

    /// Checks that the document is complete.
    pub fn finish(&self) -> Result<(), MalformedJson> {
        let end = if self.lines { SplitState::Object } else { SplitState::Done };
        if self.state == end { Ok(()) } else { Err(MalformedJson::Incomplete) }
    }

    /// Takes one byte; true if it ends a value.
    fn step(&mut self, byte: u8) -> Result<bool, MalformedJson> {
        let space = matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        self.state = match (self.state, byte) {
            (SplitState::InString { depth, escaped }, _) => {
                self.store(byte)?;
                match (escaped, byte) {
                    (false, b'\\') => SplitState::InString { depth, escaped: true },
                    (false, b'"') if depth == 0 => return Ok(true),
                    (false, b'"') => SplitState::InContainer { depth },
                    _ => SplitState::InString { depth, escaped: false },
                }
            }
            (SplitState::InContainer { depth }, _) => {
                self.store(byte)?;
                match byte {
                    b'"' => SplitState::InString { depth, escaped: false },
                    b'{' | b'[' => SplitState::InContainer { depth: depth.saturating_add(1) },
                    b'}' | b']' if depth == 1 => return Ok(true),
                    b'}' | b']' => SplitState::InContainer { depth: depth - 1 },
                    _ => self.state,
                }
            }
            (SplitState::InKey { escaped: false }, b'"') => SplitState::Colon,
            (SplitState::InKey { escaped }, _) => {
                if self.key.len() >= MAX_VALUE {
                    return Err(MalformedJson::TooLong);
                }
                self.key.push(byte);
                SplitState::InKey { escaped: !escaped && byte == b'\\' }
            }
            (SplitState::InScalar, _) => {
                self.store(byte)?;
                SplitState::InScalar
            }
            (_, _) if space => self.state,
            (SplitState::Object, b'{') => SplitState::FirstKey,
            (SplitState::FirstKey | SplitState::Key, b'"') => {
                self.key.clear();
                SplitState::InKey { escaped: false }
            }
            (SplitState::FirstKey | SplitState::Comma, b'}') if self.in_peers => {
                self.in_peers = false;
                SplitState::Comma
            }
            (SplitState::FirstKey | SplitState::Comma, b'}') => SplitState::Done,
            (SplitState::Comma, b',') => SplitState::Key,
            (SplitState::Colon, b':') => SplitState::Value,
            (SplitState::Value, b'{') if !self.in_peers && !self.lines && self.key == b"Peer" => {
                self.in_peers = true;
                SplitState::FirstKey
            }
            (SplitState::Value, _) => self.begin_value(byte)?,
            (
                SplitState::Object
                | SplitState::FirstKey
                | SplitState::Key
                | SplitState::Colon
                | SplitState::Comma
                | SplitState::Done,
                _,
            ) => {
                return Err(MalformedJson::Syntax(self.position));
            }
        };
        Ok(false)
    }

    fn begin_value(&mut self, byte: u8) -> Result<SplitState, MalformedJson> {
        self.value.clear();
        self.store(byte)?;
        Ok(match byte {
            b'"' => SplitState::InString { depth: 0, escaped: false },
            b'{' | b'[' => SplitState::InContainer { depth: 1 },
            b',' | b':' | b'}' | b']' => return Err(MalformedJson::Syntax(self.position)),
            _ => SplitState::InScalar,
        })
    }

    fn store(&mut self, byte: u8) -> Result<(), MalformedJson> {
        if !self.in_peers && !self.is_wanted() && !self.value.is_empty() {
            return Ok(());
        }
        if self.value.len() >= MAX_VALUE {
            return Err(MalformedJson::TooLong);
        }
        self.value.push(byte);
        Ok(())
    }

    fn is_wanted(&self) -> bool {
        self.wanted.iter().any(|name| name.as_bytes() == self.key)
    }

    fn complete(
        &mut self,
        emit: &mut impl FnMut(JsonPart<'_>) -> Result<(), MalformedJson>,
    ) -> Result<(), MalformedJson> {
        self.state = SplitState::Comma;
        if self.in_peers {
            emit(JsonPart::Peer(&self.value))
        } else if self.is_wanted() {
            emit(JsonPart::Field(&self.key, &self.value))
        } else {
            emit(JsonPart::Skipped(&self.key, self.value.first().copied().unwrap_or_default()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    impl JsonSplitter {
        /// Bytes of memory in use.
        pub fn memory(&self) -> usize {
            self.key.capacity() + self.value.capacity()
        }
    }

    type SplitParts = (Vec<(String, Value)>, Vec<Value>);

    fn split(bytes: &[u8], piece: usize) -> Result<SplitParts, MalformedJson> {
        let (mut fields, mut peers) = (Vec::new(), Vec::new());
        let mut splitter = JsonSplitter::new(&["Version", "TUN", "Self"]);
        for piece in bytes.chunks(piece) {
            splitter.feed(piece, |part| {
                match part {
                    JsonPart::Field(key, value) => fields.push((
                        String::from_utf8_lossy(key).into_owned(),
                        serde_json::from_slice(value).map_err(|_| MalformedJson::Syntax(0))?,
                    )),
                    JsonPart::Peer(value) => {
                        peers.push(serde_json::from_slice(value).map_err(|_| MalformedJson::Syntax(0))?)
                    }
                    JsonPart::Skipped(..) | JsonPart::End => {}
                }
                Ok(())
            })?;
        }
        splitter.finish().map(|()| (fields, peers))
    }

    #[test]
    fn the_parts_do_not_depend_on_the_chunks() {
        let answer = json!({
            "Version": "1.102.5", "TUN": false, "Junk": {"Peer": {"a": 1}, "s": "}\"{"}, "Empty": {}, "List": [[], {}],
            "Self": {"HostName": "a \\ \" ] }", "Peer": {"b": 2}},
            "Peer": {"nodekey:1": {"ID": "one", "CapMap": {"x": null}}, "nodekey:2": {"ID": "two"}, "nodekey:3": null},
            "User": {"1": {"ID": 1}}, "ClientVersion": null,
        });
        let text = serde_json::to_vec_pretty(&answer).unwrap();
        let whole = split(&text, text.len()).unwrap();
        assert_eq!(whole.1.len(), 3);
        assert_eq!(whole.0.len(), 3);
        for (name, value) in &whole.0 {
            assert_eq!(value, &answer[name]);
        }
        for piece in 1..text.len() {
            assert_eq!(split(&text, piece).unwrap(), whole);
        }
    }

    #[test]
    fn a_status_without_peers_has_three_forms() {
        for text in [r#"{"TUN":true,"Peer":null}"#, r#"{"TUN":true,"Peer":{}}"#, r#"{"TUN":true}"#] {
            let (fields, peers) = split(text.as_bytes(), 3).unwrap();
            assert_eq!((fields, peers), (vec![("TUN".to_owned(), json!(true))], vec![]));
        }
    }

    #[test]
    fn truncated_or_malformed_json_is_an_error() {
        let good = br#"{"TUN":true,"Peer":{"a":{"b":[1]}},"Version":"1"}"#;
        for length in 0..good.len() {
            assert_eq!(split(&good[..length], 5), Err(MalformedJson::Incomplete), "{length}");
        }
        for text in ["[]", "{,}", r#"{"a" 1}"#, r#"{"a":}"#, r#"{"TUN":tru e}"#, "{}{}", "{} x", "HTTP/1.1"] {
            assert!(matches!(split(text.as_bytes(), 1), Err(MalformedJson::Syntax(_))), "{text}");
        }
    }

    #[test]
    fn an_endless_value_is_an_error_if_wanted_and_takes_no_memory_otherwise() {
        let mut splitter = JsonSplitter::new(&["Version"]);
        let nothing = |_: JsonPart<'_>| Ok(());
        splitter.feed(br#"{"User":""#, nothing).unwrap();
        for _ in 0..100 {
            splitter.feed(&[b'x'; 65536], nothing).unwrap();
        }
        assert!(splitter.value.capacity() < 4096);
        let mut splitter = JsonSplitter::new(&["Version"]);
        splitter.feed(br#"{"Version":""#, nothing).unwrap();
        let fed: Result<(), MalformedJson> = (0..100).try_for_each(|_| splitter.feed(&[b'x'; 65536], nothing));
        assert_eq!(fed, Err(MalformedJson::TooLong));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop::sample::select(&b"{}[]\":,\\ a1Pe\nTUN\xff"[..]), 0..200)) {
            let _ = split(&bytes, 7);
        }
    }
}
