//! Text from outside: what is done to it before it is kept, logged, sent or shown.
//!
//! * [`escape`], where text of tailscaled, a peer or a server enters: without secrets, one line, printable, cut.
//! * [`redact_secrets`], where another program's page enters that must stay whole.
//! * [`make_visible`], before a terminal gets text: it must not control the terminal.

use std::fmt::Write;

/// Longest quoted text, in characters: enough for a Go error chain, short enough for a log line.
const MAX_QUOTE: usize = 200;

/// Bytes of a text that are looked at to quote it: what is longer was sent to flood.
const MAX_EXAMINED: usize = 16 * MAX_QUOTE;

/// Stands in place of a secret.
const REDACTED: &str = "REDACTED";

/// How secrets begin: auth, OAuth and API keys of Tailscale and of headscale, and the keys of Tailscale's nodes, machines and
/// network locks (`types/key` of tailscale 1.102.5). A public key is no secret, but names a machine for ever.
const KEY_PREFIXES: [&str; 10] =
    ["tskey-", "hskey-", "nodekey:", "mkey:", "discokey:", "privkey:", "nlpriv:", "nlpub:", "tlpub:", "chalpub:"];

/// Makes external text safe for one line of a log, page or terminal: no secrets, printable ASCII, at most 200 characters.
pub fn escape(text: &str) -> String {
    let text = redact_secrets(text.get(..text.floor_char_boundary(MAX_EXAMINED)).unwrap_or(text));
    let mut safe = String::with_capacity(text.len().min(MAX_QUOTE));
    for c in text.trim_end().chars() {
        let piece = if c.is_ascii_graphic() || c == ' ' { c.to_string() } else { c.escape_default().to_string() };
        if safe.len() + piece.len() > MAX_QUOTE - 3 {
            safe.push_str("...");
            break;
        }
        safe.push_str(&piece);
    }
    safe
}

/// The text without keys, without the passwords in URLs, and without web addresses that have more than a host: a page to log in
/// is one, whoever runs the control plane. JSON stays JSON.
pub fn redact_secrets(text: &str) -> String {
    let text = KEY_PREFIXES.iter().fold(text.to_owned(), |text, prefix| rewrite_after(&text, prefix, redact_key));
    rewrite_after(&text, "://", redact_url)
}

/// Puts `rewrite(before, after)` in place of so many of the bytes that follow each `mark`.
fn rewrite_after(text: &str, mark: &str, rewrite: fn(&str, &str) -> (String, usize)) -> String {
    let mut rewritten = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(mark) {
        let (replacement, length) = rewrite(before, after);
        rewritten.extend([before, mark, &replacement]);
        rest = after.get(length..).unwrap_or_default();
    }
    rewritten + rest
}

fn redact_key(_: &str, after: &str) -> (String, usize) {
    let length = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').unwrap_or(after.len());
    (if length == 0 { String::new() } else { REDACTED.to_owned() }, length)
}

fn redact_url(before: &str, after: &str) -> (String, usize) {
    let url = after.get(..url_length(after)).unwrap_or_default();
    let (authority, rest) = url.split_at(url.find(['/', '?', '#']).unwrap_or(url.len()));
    let redacted = match authority.rsplit_once('@') {
        _ if rest.len() > 1 && (before.ends_with("http") || before.ends_with("https")) => REDACTED.to_owned(),
        Some((user, host)) if user.contains(':') => format!("{REDACTED}@{host}{rest}"),
        Some(_) | None => url.to_owned(),
    };
    (redacted, url.len())
}

/// A URL ends at a space, a quote or an escape of JSON that stands for one; not at `\u0026`, as Go writes `&`.
fn url_length(text: &str) -> usize {
    let ends = |(at, c): &(usize, char)| match c {
        '\\' => !text.get(at + 1..).is_some_and(|next| next.starts_with('u')),
        c => c.is_whitespace() || c.is_control() || "\"'`<>".contains(*c),
    };
    text.char_indices().find(ends).map_or(text.len(), |(at, _)| at)
}

/// The text with every character escaped that is invisible or acts upon a terminal: control characters except line feeds,
/// marks of the direction of writing, separators of lines. JSON reads the escapes as what they stand for.
pub fn make_visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        if is_visible(c) || c == '\n' {
            visible.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(visible, "\\u{unit:04x}");
            }
        }
    }
    visible
}

/// As [`make_visible`], and in one line.
pub fn make_visible_line(text: &str) -> String {
    make_visible(text).replace('\n', "\\u000a")
}

/// Unicode's categories Cc, Cf, Zl and Zp, as far as no writing needs them.
fn is_visible(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn neither_keys_nor_login_pages_nor_passwords_are_left() {
        for (text, left) in [
            ("visit https://login.tailscale.com/a/0123 now", "visit https://REDACTED now"),
            ("(https://hs.example:8080/register/nodekey:ab12)", "(https://REDACTED"),
            (r#"Get "http://10.99.0.1:8080/key?v=142": dial tcp"#, r#"Get "http://REDACTED": dial tcp"#),
            (r#"{"u":"https://h/a?b\u0026c=secret\nnext"}"#, r#"{"u":"https://REDACTED\nnext"}"#),
            ("https://h?token=secret", "https://REDACTED"),
            ("at https://h/ or https://h.", "at https://h/ or https://h."),
            ("socks5://u:pa:ss@10.0.0.1:1, postgres://u@db/d", "socks5://REDACTED@10.0.0.1:1, postgres://u@db/d"),
            ("https://user:word@hs.example", "https://REDACTED@hs.example"),
            ("invalid key: tskey-auth-kX-se_cret is used", "invalid key: tskey-REDACTED is used"),
            ("hskey-auth-a,hskey-auth-b", "hskey-REDACTED,hskey-REDACTED"),
            ("nodekey:00ff [abcde] mkey:1 privkey:2, discokey:3", NODE_KEYS),
            ("no node key: tskey- and mkey:", "no node key: tskey- and mkey:"),
        ] {
            assert_eq!(redact_secrets(text), left);
            assert_eq!(redact_secrets(left), left, "again");
        }
    }

    const NODE_KEYS: &str = "nodekey:REDACTED [abcde] mkey:REDACTED privkey:REDACTED, discokey:REDACTED";

    #[test]
    fn a_secret_at_the_cut_is_not_shown_in_part() {
        for padding in MAX_QUOTE - 60..MAX_QUOTE {
            let text = format!("{} tskey-auth-SECRET", "x".repeat(padding));
            assert!(!escape(&text).contains("auth"), "{padding}");
        }
    }

    #[test]
    fn what_is_invisible_is_escaped_and_what_people_write_is_not() {
        let hostile = "a\u{1b}[31m\r\u{7}\u{9b}\u{202e}\u{2066}\u{200f}\u{2028}\u{e0041}\u{7f}\n";
        let visible = "a\\u001b[31m\\u000d\\u0007\\u009b\\u202e\\u2066\\u200f\\u2028\\udb40\\udc41\\u007f\n";
        assert_eq!(make_visible(hostile), visible);
        assert_eq!(make_visible_line("a\nb"), "a\\u000ab");
        let written = "Größe, עברית, 日本語, 🙂\n  next: x";
        assert_eq!(make_visible(written), written);
    }

    proptest! {
        #[test]
        fn json_stays_json_and_means_the_same(text: String) {
            let json = serde_json::to_string(&text).unwrap();
            let visible = make_visible(&json);
            prop_assert_eq!(serde_json::from_str::<String>(&visible).unwrap(), text);
            prop_assert!(serde_json::from_str::<String>(&redact_secrets(&json)).is_ok());
        }

        #[test]
        fn redaction_never_cuts_an_escape(text in r#"(https://|tskey-|\\u0041|\\"|\\n|\\\\|[a/?@:])*"#) {
            let json = format!("\"{text}\"");
            prop_assert!(serde_json::from_str::<String>(&redact_secrets(&json)).is_ok(), "{}", json);
        }
    }
}
