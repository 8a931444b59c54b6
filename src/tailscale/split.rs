//! Splits the answer of `status`, or the lines of the bus, into parts while they arrive, so that a tailnet of any size
//! needs little memory.

/// A part of the answer, raw JSON.
#[derive(Debug, PartialEq)]
pub enum Part<'a> {
    /// A member of the outermost object.
    Field(&'a [u8], &'a [u8]),
    /// Name and first byte of a member of the outermost object that is not wanted; the byte tells whether it is `null`.
    Skipped(&'a [u8], u8),
    /// A member's value of the object `Peer`.
    Peer(&'a [u8]),
    /// The end of an object that another may follow.
    End,
}

/// Why an answer cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Not the JSON object that was expected, seen at this byte.
    Syntax(usize),
    /// One part is longer than [`MAX_PART`].
    TooLong,
    /// The answer ended too early.
    Incomplete,
}

/// Longest part, in bytes: the capabilities of the own node or a peer take tens of KiB.
pub const MAX_PART: usize = 1 << 20;

/// Bytes go in by [`Splitter::feed`], parts come out.
#[derive(Debug)]
pub struct Splitter {
    wanted: &'static [&'static str],
    /// Objects follow one another, and none of them has peers.
    lines: bool,
    expect: Expect,
    in_peers: bool,
    key: Vec<u8>,
    value: Vec<u8>,
    position: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expect {
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
    Nothing,
}

impl Splitter {
    /// A splitter that hands out the peers and the `wanted` fields of the outermost object.
    pub fn new(wanted: &'static [&'static str]) -> Self {
        let (key, value) = (Vec::new(), Vec::new());
        Self { wanted, lines: false, expect: Expect::Object, in_peers: false, key, value, position: 0 }
    }

    /// A splitter for any number of objects, one after another, that hands out their `wanted` fields.
    pub fn lines(wanted: &'static [&'static str]) -> Self {
        Self { lines: true, ..Self::new(wanted) }
    }

    /// Takes the next bytes and hands each completed part to `emit`.
    pub fn feed<E: From<Broken>>(
        &mut self,
        bytes: &[u8],
        mut emit: impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for byte in bytes {
            let byte = *byte;
            if self.expect == Expect::InScalar && matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t') {
                self.complete(&mut emit)?;
            }
            if self.step(byte)? {
                self.complete(&mut emit)?;
            }
            self.position += 1;
            if self.lines && self.expect == Expect::Nothing {
                self.expect = Expect::Object;
                emit(Part::End)?;
            }
        }
        Ok(())
    }

    /// Must be called at the end of the answer.
    pub fn finish(&self) -> Result<(), Broken> {
        let end = if self.lines { Expect::Object } else { Expect::Nothing };
        if self.expect == end { Ok(()) } else { Err(Broken::Incomplete) }
    }

    /// Takes one byte; true if it was the last of a value.
    fn step(&mut self, byte: u8) -> Result<bool, Broken> {
        let space = matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        self.expect = match (self.expect, byte) {
            (Expect::InString { depth, escaped }, _) => {
                self.keep(byte)?;
                match (escaped, byte) {
                    (false, b'\\') => Expect::InString { depth, escaped: true },
                    (false, b'"') if depth == 0 => return Ok(true),
                    (false, b'"') => Expect::InContainer { depth },
                    _ => Expect::InString { depth, escaped: false },
                }
            }
            (Expect::InContainer { depth }, _) => {
                self.keep(byte)?;
                match byte {
                    b'"' => Expect::InString { depth, escaped: false },
                    b'{' | b'[' => Expect::InContainer { depth: depth.saturating_add(1) },
                    b'}' | b']' if depth == 1 => return Ok(true),
                    b'}' | b']' => Expect::InContainer { depth: depth - 1 },
                    _ => self.expect,
                }
            }
            (Expect::InKey { escaped: false }, b'"') => Expect::Colon,
            (Expect::InKey { escaped }, _) => {
                if self.key.len() >= MAX_PART {
                    return Err(Broken::TooLong);
                }
                self.key.push(byte);
                Expect::InKey { escaped: !escaped && byte == b'\\' }
            }
            (Expect::InScalar, _) => {
                self.keep(byte)?;
                Expect::InScalar
            }
            (_, _) if space => self.expect,
            (Expect::Object, b'{') => Expect::FirstKey,
            (Expect::FirstKey | Expect::Key, b'"') => {
                self.key.clear();
                Expect::InKey { escaped: false }
            }
            (Expect::FirstKey | Expect::Comma, b'}') if self.in_peers => {
                self.in_peers = false;
                Expect::Comma
            }
            (Expect::FirstKey | Expect::Comma, b'}') => Expect::Nothing,
            (Expect::Comma, b',') => Expect::Key,
            (Expect::Colon, b':') => Expect::Value,
            (Expect::Value, b'{') if !self.in_peers && !self.lines && self.key == b"Peer" => {
                self.in_peers = true;
                Expect::FirstKey
            }
            (Expect::Value, _) => {
                self.value.clear();
                self.keep(byte)?;
                match byte {
                    b'"' => Expect::InString { depth: 0, escaped: false },
                    b'{' | b'[' => Expect::InContainer { depth: 1 },
                    b',' | b':' | b'}' | b']' => return Err(Broken::Syntax(self.position)),
                    _ => Expect::InScalar,
                }
            }
            (Expect::Object | Expect::FirstKey | Expect::Key | Expect::Colon | Expect::Comma | Expect::Nothing, _) => {
                return Err(Broken::Syntax(self.position));
            }
        };
        Ok(false)
    }

    fn keep(&mut self, byte: u8) -> Result<(), Broken> {
        if !self.in_peers && !self.is_wanted() && !self.value.is_empty() {
            return Ok(());
        }
        if self.value.len() >= MAX_PART {
            return Err(Broken::TooLong);
        }
        self.value.push(byte);
        Ok(())
    }

    fn is_wanted(&self) -> bool {
        self.wanted.iter().any(|name| name.as_bytes() == self.key)
    }

    fn complete<E>(&mut self, emit: &mut impl FnMut(Part<'_>) -> Result<(), E>) -> Result<(), E> {
        self.expect = Expect::Comma;
        if self.in_peers {
            emit(Part::Peer(&self.value))
        } else if self.is_wanted() {
            emit(Part::Field(&self.key, &self.value))
        } else {
            emit(Part::Skipped(&self.key, self.value.first().copied().unwrap_or_default()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    impl Splitter {
        /// Bytes of memory that are kept for what has been read.
        pub fn held(&self) -> usize {
            self.key.capacity() + self.value.capacity()
        }
    }

    type Parts = (Vec<(String, Value)>, Vec<Value>);

    fn split(bytes: &[u8], piece: usize) -> Result<Parts, Broken> {
        let (mut fields, mut peers) = (Vec::new(), Vec::new());
        let mut splitter = Splitter::new(&["Version", "TUN", "Self"]);
        for piece in bytes.chunks(piece) {
            splitter.feed(piece, |part| {
                match part {
                    Part::Field(key, value) => fields.push((
                        String::from_utf8_lossy(key).into_owned(),
                        serde_json::from_slice(value).map_err(|_| Broken::Syntax(0))?,
                    )),
                    Part::Peer(value) => peers.push(serde_json::from_slice(value).map_err(|_| Broken::Syntax(0))?),
                    Part::Skipped(..) | Part::End => {}
                }
                Ok::<(), Broken>(())
            })?;
        }
        splitter.finish().map(|()| (fields, peers))
    }

    #[test]
    fn every_way_of_cutting_gives_the_same_parts() {
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
    fn no_peers_may_be_said_in_three_ways() {
        for text in [r#"{"TUN":true,"Peer":null}"#, r#"{"TUN":true,"Peer":{}}"#, r#"{"TUN":true}"#] {
            let (fields, peers) = split(text.as_bytes(), 3).unwrap();
            assert_eq!((fields, peers), (vec![("TUN".to_owned(), json!(true))], vec![]));
        }
    }

    #[test]
    fn what_is_cut_or_crooked_is_an_error() {
        let good = br#"{"TUN":true,"Peer":{"a":{"b":[1]}},"Version":"1"}"#;
        for length in 0..good.len() {
            assert_eq!(split(&good[..length], 5), Err(Broken::Incomplete), "{length}");
        }
        for text in ["[]", "{,}", r#"{"a" 1}"#, r#"{"a":}"#, r#"{"TUN":tru e}"#, "{}{}", "{} x", "HTTP/1.1"] {
            assert!(matches!(split(text.as_bytes(), 1), Err(Broken::Syntax(_))), "{text}");
        }
    }

    #[test]
    fn a_part_without_end_is_refused_and_an_unwanted_one_takes_no_memory() {
        let mut splitter = Splitter::new(&["Version"]);
        let nothing = |_: Part<'_>| Ok::<(), Broken>(());
        splitter.feed(br#"{"User":""#, nothing).unwrap();
        for _ in 0..100 {
            splitter.feed(&[b'x'; 65536], nothing).unwrap();
        }
        assert!(splitter.value.capacity() < 4096);
        let mut splitter = Splitter::new(&["Version"]);
        splitter.feed(br#"{"Version":""#, nothing).unwrap();
        let fed: Result<(), Broken> = (0..100).try_for_each(|_| splitter.feed(&[b'x'; 65536], nothing));
        assert_eq!(fed, Err(Broken::TooLong));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop::sample::select(&b"{}[]\":,\\ a1Pe\nTUN\xff"[..]), 0..200)) {
            let _ = split(&bytes, 7);
        }
    }
}
