//! Text in, a configuration or a list of problems out.

use super::*;
use proptest::prelude::*;
use std::path::Path;
use std::time::Duration;

const FILE: &str = "telltail.yaml";

fn from_file(text: impl AsRef<[u8]>) -> Result<Loaded, Problems> {
    from_both(&[], text)
}

fn from_variables(variables: &[(&str, &str)]) -> Result<Loaded, Problems> {
    load(&variables.iter().copied().collect(), None)
}

fn from_both(variables: &[(&str, &str)], text: impl AsRef<[u8]>) -> Result<Loaded, Problems> {
    load(&variables.iter().copied().collect(), Some((Path::new(FILE), text.as_ref())))
}

fn from_targets(urls: &str) -> Result<Loaded, Problems> {
    from_variables(&[(TARGETS_VARIABLE, urls)])
}

fn lines(outcome: Result<Loaded, Problems>) -> Vec<String> {
    outcome.unwrap_err().as_slice().iter().map(ToString::to_string).collect()
}

/// Exactly one problem, with these words in it.
fn assert_problem(outcome: Result<Loaded, Problems>, words: &str) {
    let lines = lines(outcome);
    assert!(lines.len() == 1 && lines[0].contains(words), "wanted one with {words:?}, got {lines:#?}");
}

const FULL: &str = r#"# Everything that can be written.
socket: /run/tailscale/tailscaled.sock
listen: "0.0.0.0:9000"
allowed_hosts: telltail.prd.svc, TellTail.example.
pages: loopback
interval: 20s
timeout: 4s
rise: 3
fall: 5
readiness: local
startup_gate: targets
startup_release: 2m
drain: 5s
via: socks5://localhost:1055
log: info,telltail::probe=debug
log_format: text
targets:
  - postgres://monitor@Stackeye-DB-prd.tail1234.ts.net.:5433/app?expect=no-derp
  - url: redis://stackeye-valkey-prd
    name: cache
    required: false
    interval: 5s
    timeout: 2s
    via: auto
    depth: tcp
  - url: tcp://[fd7a:115c:a1e0::1]:443
    name: api
    expect: direct
"#;

#[test]
fn one_variable_is_a_whole_configuration() {
    let loaded =
        from_targets("postgres://stackeye-db-prd:5432,valkey://stackeye-valkey-prd:6379?required=false").unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let config = loaded.config;
    let target = |kind, host: &str, port| Target::with_defaults(kind, Host::Name(host.into()), port, None, None);
    let db = target(Kind::Postgres, "stackeye-db-prd", 5432);
    let cache = Target { required: false, ..target(Kind::Valkey, "stackeye-valkey-prd", 6379) };
    assert_eq!((db.name.as_str(), db.required, db.depth), ("stackeye-db-prd", true, Depth::Protocol));
    let expected = Config::with_defaults(vec![db.into(), cache.into()], config.hash.clone());
    assert_eq!(config, expected);
}

#[test]
fn a_file_says_everything_and_targets_take_the_defaults_over() {
    let config = from_file(FULL).unwrap().config;
    assert_eq!(config.socket.as_deref(), Some(Path::new("/run/tailscale/tailscaled.sock")));
    assert_eq!(config.listen, Listen::At("0.0.0.0:9000".parse().unwrap()));
    assert_eq!(config.allowed_hosts, ["telltail.prd.svc", "telltail.example"]);
    assert_eq!(config.pages, PageAccess::Loopback);
    assert_eq!((config.rise, config.fall, config.readiness), (3, 5, Mode::Local));
    assert_eq!((config.startup_gate, config.log_format), (Gate::Targets, LogFormat::Text));
    let [db, cache, api] = config.targets.as_slice() else { panic!("three targets") };
    let proxy = Via::Socks5("127.0.0.1:1055".parse().unwrap());
    assert_eq!(
        (db.name.as_str(), db.port, db.interval, db.via),
        ("stackeye-db-prd", 5433, Duration::from_secs(20), proxy)
    );
    assert_eq!((db.user.as_deref(), db.database.as_deref()), (Some("monitor"), Some("app")));
    assert_eq!(db.host.to_string(), "stackeye-db-prd.tail1234.ts.net");
    assert_eq!(db.expect, Expect::NoDerp);
    assert_eq!((cache.name.as_str(), cache.port, cache.required, cache.via), ("cache", 6379, false, Via::Auto));
    assert_eq!(
        (cache.interval, cache.timeout, cache.depth),
        (Duration::from_secs(5), Duration::from_secs(2), Depth::Tcp)
    );
    assert_eq!((api.kind, api.depth, api.expect), (Kind::Tcp, Depth::Tcp, Expect::Direct));
}

#[test]
fn every_problem_is_reported_at_once_with_its_place() {
    let text = "\
intervall: 10s
rise: 0
fall: many
readiness: strickt
drain: 10
targets:
  - postgres://db:5432?intervall=5s&timeout=5x
  - url: valkey://cache
    depht: tcp
    required: yes
  - tcp://api
log: inof
";
    let found = lines(from_both(&[("TELLTAIL_VIA", "socks5://proxy:1")], text));
    let expected = [
        ("TELLTAIL_VIA: ", "not an IP address"),
        ("telltail.yaml:1:1: ", "unknown key `intervall`; did you mean `interval`?"),
        ("telltail.yaml:2:7: `rise`: ", "is not a whole number from 1 to 100"),
        ("telltail.yaml:3:7: `fall`: ", "is not a whole number"),
        ("telltail.yaml:4:12: `readiness`: ", "did you mean `strict`?"),
        ("telltail.yaml:5:8: `drain`: ", "the number has no unit"),
        ("telltail.yaml:7:5: target 1 `db`: `timeout`: ", "`5x` is not a duration"),
        ("telltail.yaml:7:5: target 1: ", "unknown parameter `intervall`; did you mean `interval`?"),
        ("telltail.yaml:9:5: target 2: ", "unknown key `depht`; did you mean `depth`?"),
        ("telltail.yaml:10:15: target 2 `cache`: `required`: ", "the value is none of true, false"),
        ("telltail.yaml:11:5: target 3: ", "`tcp://` needs a port"),
        ("telltail.yaml:12:6: `log`: ", "did you mean `info`?"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, (start, part)) in found.iter().zip(expected) {
        assert!(found.starts_with(start) && found.contains(part), "{found:?} should be {start:?} … {part:?}");
    }
}

#[test]
fn the_environment_overrides_the_files_values_but_targets_have_one_source() {
    let text = "interval: 20s\nsocket: /file.sock\ntargets: [\"postgres://db\"]\n";
    let variables = [
        ("TELLTAIL_INTERVAL", "30s"),
        ("TELLTAIL_SOCKET", "/variable.sock"),
        ("TS_SOCKET", "/ts.sock"),
        ("TELLTAIL_RISE", ""),
    ];
    let config = from_both(&variables, text).unwrap().config;
    assert_eq!(config.targets[0].interval, Duration::from_secs(30));
    assert_eq!(config.socket.as_deref(), Some(Path::new("/variable.sock")));
    assert_eq!(config.rise, 2, "an empty variable is none");
    let config = from_both(&[("TS_SOCKET", "/ts.sock")], text).unwrap().config;
    assert_eq!(config.socket.as_deref(), Some(Path::new("/file.sock")));
    let config =
        from_variables(&[("TS_SOCKET", "/ts.sock"), (TARGETS_VARIABLE, "tcp://a:1 tcp://b:1\n")]).unwrap().config;
    assert_eq!(config.socket.as_deref(), Some(Path::new("/ts.sock")));
    assert_eq!(config.targets.len(), 2);
    assert_problem(from_both(&[(TARGETS_VARIABLE, "tcp://a:1")], text), "TELLTAIL_TARGETS: the file has `targets` too");
}

#[test]
fn odd_files_are_refused_with_a_clear_sentence() {
    assert_problem(from_file(""), "1:1: the file is empty");
    assert_problem(from_file("\n# nothing\n"), "the file is empty");
    assert_problem(from_file("---\n"), "the file is empty");
    assert_problem(from_file([0xff, 0xfe, b'a', 0]), "1:1: the file is UTF-16");
    assert_problem(from_file(b"targets: []\nlog: caf\xe9\n"), "2:9: the file is not UTF-8 here");
    assert_problem(from_file("x".repeat(MAX_FILE_BYTES + 1)), "longer than 256 KiB");
    assert_problem(from_file("- postgres://db\n"), "1:1: the file is a list, not a mapping");
    assert_problem(from_file("postgres://db\n"), "the file is a single value");
    assert_problem(from_file("targets: postgres://db\n"), "1:10: `targets` is a single value, not a list");
    assert_problem(from_file("targets: [[tcp://a:1]]\n"), "1:11: target 1 is a list");
    assert_problem(from_file("targets:\n"), "`targets` is empty");
    assert_problem(from_file("targets: []\n"), "1:1: there are no targets");
    assert_problem(from_file("log: info\n"), "there are no targets");
    assert_problem(from_file("targets: [\"tcp://a:1\"]\nlog:\n"), "2:4: `log` has no value");
    assert_problem(from_file("targets: [\"tcp://a:1\"]\nlog: {a: b}\n"), "2:6: `log` is a mapping");
    assert_problem(from_file("log: info\nlog: warn\ntargets: [\"tcp://a:1\"]\n"), "2:1: `log` is written twice");
    assert_problem(from_file("targets:\n- name: x\n"), "2:3: target 1 has no `url`");
    assert_problem(from_file("targets: [\"tcp://a:1\"]\n---\na: b\n"), "3:1: a second YAML document");
    assert_problem(from_file("targets: [\"tcp://a:1\"\n"), "not YAML");
    assert_problem(from_file("targets: [\"tcp://a:1\"]\nlisten: [::]:8245\n"), "needs quotes");
    assert_problem(from_file("a: &x 1\nb: *x\n"), "1:7: anchors and aliases");
    assert_problem(from_file("targets: !!seq []\n"), "tags");
    assert_problem(from_file("? [a]\n: b\n"), "a key must be a single word");
    assert_problem(from_file(format!("a: {}\n", "[".repeat(100))), "not YAML");
    assert_problem(from_file(format!("targets: [{}]\n", "1,".repeat(20_000))), "more than");
    assert_problem(from_file("targets: [\"tcp://a:1\"]\nlog: a\0b\n"), "2:7");
}

#[test]
fn a_byte_order_mark_and_carriage_returns_do_no_harm() {
    let plain = from_file(FULL).unwrap();
    assert_eq!(from_file(format!("\u{feff}{}", FULL.replace('\n', "\r\n"))).unwrap(), plain);
}

#[test]
fn a_broken_file_does_not_hide_the_environments_problems() {
    let found = lines(from_both(&[("TELLTAIL_FALL", "0")], "a: [\n"));
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn targets_are_at_most_64() {
    let many = |count: usize| (0..count).map(|i| format!("tcp://host-{i}:1")).collect::<Vec<_>>().join(",");
    assert_eq!(from_targets(&many(64)).unwrap().config.targets.len(), 64);
    assert_problem(from_targets(&many(65)), "there are 65 targets, at most 64 are allowed");
    assert_problem(from_targets(&many(10_000)), "there are 10000 targets");
}

#[test]
fn names_are_unique_and_fit_for_a_label() {
    assert_problem(
        from_targets("tcp://db.a.ts.net:1,tcp://db.b.ts.net:1"),
        "target 2: the name `db` is already used by target 1",
    );
    assert_problem(from_targets("tcp://100.64.0.1:1"), "an IP address needs a name: add `name`");
    assert_problem(from_targets("tcp://node:1"), "the name `node` is reserved");
    assert_problem(from_targets("tcp://db:1?name=Main"), "it has `M`");
    assert_problem(from_targets("tcp://db:1?name=a.b"), "is not 1 to 63 of");
    assert_problem(from_targets(&format!("tcp://db:1?name={}", "a".repeat(64))), "is not 1 to 63 of");
    assert_eq!(from_targets("tcp://node:1?name=other").unwrap().config.targets[0].name, "other");
}

#[test]
fn the_timeout_stays_below_half_the_interval() {
    assert_problem(
        from_targets("tcp://db:1?timeout=5s"),
        "target 1 `db`: the timeout 5s must be less than half the interval 10s",
    );
    assert_problem(from_targets("tcp://db:1?interval=6s"), "the timeout 3s must be less than half the interval 6s");
    assert!(from_targets("tcp://db:1?timeout=4999ms").is_ok());
    let both = [("TELLTAIL_INTERVAL", "4s"), (TARGETS_VARIABLE, "tcp://a:1,tcp://b:1,tcp://c:1")];
    assert_problem(from_variables(&both), "TELLTAIL_INTERVAL: the timeout 3s must be less than");
    // A wrong interval is one problem, not two.
    assert_problem(from_targets("tcp://db:1?interval=1d"), "`1d` is not between 50ms and 1h");
}

#[test]
fn unsupported_urls_are_refused() {
    for (url, part) in [
        ("rediss://cache", "TLS is not supported yet"),
        ("valkeys://cache", "TLS is not supported yet"),
        ("postgres://db?sslmode=require", "TLS is not supported yet"),
        ("postgres://db?password=x", "contains a password"),
        ("valkey://default@cache", "without a user"),
        ("valkey://cache/0", "needs no database"),
        ("tcp://u@db:1", "takes no user"),
        ("tcp://db:1/x", "has no path"),
        ("tcp://db:1?depth=protocol", "its depth is `tcp`"),
        ("tcp://db", "needs a port"),
        ("tcp://db:0", "port is not a number"),
        ("tcp://db:65536", "port is not a number"),
        ("tcp://db:+80", "port is not a number"),
        ("tcp://db:", "port is not a number"),
        ("tcp://fd7a::1:80", "needs brackets"),
        ("tcp://[fd7a::1]80?name=a", "port is not a number"),
        ("tcp://:80", "host is missing"),
        ("postgre://db", "did you mean `postgres`?"),
        ("db:5432", "not a URL such as"),
        ("postgres://db#x", "`%23`"),
        ("postgres://a%zz@db", "followed by two hexadecimal digits"),
        ("postgres://%00@db", "control character"),
        ("postgres://@db", "the user is empty"),
        ("postgres://db?required", "write `required=…`"),
        ("postgres://db?required=", "write `required=…`"),
        ("postgres://db?required=true&required=true", "written twice"),
        ("postgres://db?expect=no_derp", "did you mean `no-derp`?"),
        ("postgres://db?via=socks5://127.0.0.1", "the proxy has no port"),
        ("postgres://db?via=http://127.0.0.1:1", "this kind of proxy is not supported"),
        ("postgres://db?via=local", "is none of auto, localapi, tcp"),
        ("postgres://db?interval=10sek", "did you mean `sec`?"),
    ] {
        let lines = lines(from_targets(url));
        assert!(lines.len() == 1 && lines[0].contains(part), "{url}: wanted {part:?}, got {lines:#?}");
    }
}

#[test]
fn values_are_the_same_in_the_url_and_beside_it_but_not_both() {
    assert_problem(
        from_file("targets:\n- url: tcp://db:1?name=a\n  name: b\n"),
        "3:9: target 1: `name` is in the URL and beside it",
    );
}

#[test]
fn settings_have_bounds() {
    for (variable, value, part) in [
        ("TELLTAIL_INTERVAL", "49ms", "not between 50ms and 1h"),
        ("TELLTAIL_STARTUP_RELEASE", "2h", "not between 0s and 1h"),
        ("TELLTAIL_DRAIN", "6m", "not between 0s and 5m"),
        ("TELLTAIL_RISE", "101", "from 1 to 100"),
        ("TELLTAIL_FALL", "-1", "from 1 to 100"),
        ("TELLTAIL_SOCKET", "run/x.sock", "not an absolute path"),
        ("TELLTAIL_LISTEN", "8245", "not an address with a port"),
        ("TELLTAIL_ALLOWED_HOSTS", "a.example,10.1.2.3", "an address is served in any case"),
        ("TELLTAIL_ALLOWED_HOSTS", "*.example", "has the character `*`"),
        ("TELLTAIL_ALLOWED_HOSTS", "telltail.example:8245", "has the character `:`"),
        ("TELLTAIL_PAGES", "loopbck", "did you mean `loopback`?"),
        ("TELLTAIL_LOG_FORMAT", "jsn", "did you mean `json`?"),
        ("TELLTAIL_STARTUP_GATE", "tailent", "did you mean `tailnet`?"),
        ("TELLTAIL_LOG", "telltail=verbose", "a level is none of"),
    ] {
        assert_problem(from_variables(&[(TARGETS_VARIABLE, "tcp://db:1"), (variable, value)]), part);
    }
    let long = format!("/{}", "s".repeat(107));
    assert_problem(from_variables(&[(TARGETS_VARIABLE, "tcp://db:1"), ("TELLTAIL_SOCKET", &long)]), "108 bytes");
}

#[test]
fn a_password_in_the_wrong_place_is_not_repeated() {
    const SECRET: &str = "S3cretPassw0rd";
    let told = |outcome: Result<Loaded, Problems>| match outcome {
        Ok(loaded) => loaded.warnings.join("\n"),
        Err(problems) => problems.to_string(),
    };
    for text in [
        SECRET,
        "S3cretPassw0rd:80",
        "$(S3cretPassw0rd)",
        "1S3cretPassw0rd",
        "info,x=S3cretPassw0rd",
        "[S3cretPassw0rd",
    ] {
        for key in settings::setting_keys() {
            for told in [
                told(from_variables(&[(TARGETS_VARIABLE, "tcp://db:1"), (&settings::variable(key), text)])),
                told(from_file(format!("targets: [\"tcp://db:1\"]\n{key}: {text}\n"))),
            ] {
                assert!(!told.contains("S3cr"), "{key}: {told}");
            }
        }
        for key in settings::parameter_keys().filter(|key| *key != "name") {
            let told = told(from_targets(&format!("tcp://db:1?{key}={text}")));
            assert!(!told.contains("S3cr"), "{key}: {told}");
        }
    }
    for text in [
        "S3cretPassw0rd\n",
        "S3cretPassw0rd:\n",
        "S3cretPassw0rd: 1\ntargets: [\"tcp://db:1\"]\n",
        "targets:\n- S3cretPassw0rd\n",
        "targets:\n- {S3cretPassw0rd: 1, url: \"tcp://db:1\"}\n",
        "targets:\n- tcp://db:1?S3cretPassw0rd\n- tcp://S3cret_Passw0rd:1\n- S3cretPassw0rd://db:1\n- \"tcp://[S3cretPassw0rd]:1\"\n",
        "targets:\n- tcp://db:1?name=S3cretPassw0rd\n- tcp://db:S3cretPassw0rd\n- valkey://db/S3cretPassw0rd\n",
        "targets: *S3cretPassw0rd\n",
        "targets: !S3cretPassw0rd x\n",
        "targets: &S3cretPassw0rd x\n",
        "targets: \"S3cretPassw0rd\n",
        "%S3cretPassw0rd\n---\ntargets: x\n",
        "targets: \"\\S3cretPassw0rd\"\n",
        "targets: @S3cretPassw0rd\n",
        "targets: {a: b}, S3cretPassw0rd\n",
    ] {
        let told = told(from_file(text));
        assert!(!told.is_empty() && !told.to_lowercase().contains("s3cr"), "{text}: {told}");
    }
}

#[test]
fn what_is_allowed_and_odd_warns() {
    for (url, part) in [
        ("tcp://db:1?timeout=1s", "`db`: the timeout is below 2s"),
        ("tcp://db:1?interval=100ms&timeout=40ms", "the interval is below 1s"),
        ("tcp://db:1?interval=61s", "the interval is above 1m"),
        ("postgres://db/app", "the database is not used"),
        ("tcp://db:1?name=a,tcp://db:1?name=b", "a, b have the same address, db port 1"),
    ] {
        let warnings = from_targets(url).unwrap().warnings;
        assert!(warnings.iter().any(|warning| warning.contains(part)), "{url}: wanted {part:?}, got {warnings:?}");
    }
}

#[test]
fn only_what_cannot_change_in_flight_needs_a_restart() {
    let old = from_file(FULL).unwrap().config;
    let with = |from: &str, to: &str| {
        let new = from_file(FULL.replacen(from, to, 1)).unwrap().config;
        assert_ne!(new, old, "{from}");
        needs_restart(&old, &new)
    };
    for free in ["rise: 3", "fall: 5"] {
        assert_eq!(with(free, &free.replace(['3', '5'], "7")), Vec::<&str>::new());
    }
    assert_eq!(with("interval: 20s", "interval: 25s"), Vec::<&str>::new());
    assert_eq!(with("readiness: local", "readiness: observe"), Vec::<&str>::new());
    assert_eq!(with("name: cache", "name: kv"), Vec::<&str>::new());
    assert_eq!(with("pages: loopback", "pages: all"), Vec::<&str>::new());
    assert_eq!(with("telltail.prd.svc, ", ""), Vec::<&str>::new());
    assert_eq!(with("/run/", "/var/run/"), ["socket"]);
    assert_eq!(with("9000", "9001"), ["listen"]);
    assert_eq!(with("startup_gate: targets", "startup_gate: none"), ["startup_gate"]);
    assert_eq!(with("2m", "3m"), ["startup_release"]);
    assert_eq!(with("drain: 5s", "drain: 6s"), ["drain"]);
    assert_eq!(with("=debug", "=trace"), ["log"]);
    assert_eq!(with("log_format: text", "log_format: json"), ["log_format"]);
}

#[test]
fn the_hash_is_of_the_meaning_and_stays() {
    let hash = |url: &str| from_targets(url).unwrap().config.hash;
    assert_eq!(hash("postgres://db"), hash("postgresql://DB.:5432?interval=10s&required=true&name=db"));
    assert_ne!(hash("postgres://db"), hash("postgres://db?interval=11s"));
    // Pinned: dashboards compare it across pods of different releases.
    assert_eq!(hash("postgres://db"), "2c55c6718194a17d");
}

#[test]
fn the_effective_configuration_reads_well() {
    let text = show(&from_targets("postgres://db").unwrap().config);
    assert!(
        text.contains("\nrise: 2\n") && text.contains("# listen: [::]:8245") && text.contains("interval: 10s"),
        "{text}"
    );
}

/// Proptest's own characters, and those that mean something in URLs and YAML.
fn nasty() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("postgres://".to_owned()),
        Just("valkey://".to_owned()),
        Just("tcp://".to_owned()),
        Just("@".to_owned()),
        Just(":".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just("/".to_owned()),
        Just("?name=".to_owned()),
        Just("&interval=".to_owned()),
        Just("%".to_owned()),
        Just("%F0%9F".to_owned()),
        Just("\n- ".to_owned()),
        Just("targets:\n".to_owned()),
        Just("socks5://".to_owned()),
        Just("10s".to_owned()),
        Just("\0".to_owned()),
        Just("99999999999999999999y".to_owned()),
        Just("é😀".to_owned()),
        "[a-z0-9.-]{0,5}",
        "\\PC{0,4}",
    ];
    prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
}

fn a_host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,4})?(\\.[a-z]{2,5}){0,2}",
        any::<std::net::Ipv4Addr>()
            .prop_filter("an address of a host", |ip| !ip.is_unspecified() && !ip.is_multicast())
            .prop_map(|ip| ip.to_string()),
        any::<u64>()
            .prop_map(|low| format!("[{}]", std::net::Ipv6Addr::from(0xfd7a_115c_a1e0_u128 << 80 | u128::from(low)))),
    ]
}

fn a_target() -> impl Strategy<Value = String> {
    let postgres = (
        "[a-zA-Z0-9_.~-]{1,8}(%20|%C3%A9|%22|%5C|%2F|%40)?",
        a_host(),
        1..u16::MAX,
        prop::option::of("[a-z]{1,5}(%0?)?"),
    )
        .prop_map(|(user, host, port, _)| format!("postgres://{user}@{host}:{port}/d%23b"));
    let valkey = (a_host(), prop::option::of(1..u16::MAX))
        .prop_map(|(host, port)| format!("redis://{host}{}", port.map_or(String::new(), |port| format!(":{port}"))));
    let tcp = (a_host(), 1..u16::MAX).prop_map(|(host, port)| format!("tcp://{host}:{port}"));
    let settings = (50u64..3_600_000, 2.1f64..10.0, any::<bool>(), 0..3usize, 0..4usize);
    (prop_oneof![postgres, valkey, tcp], settings).prop_map(|(url, (interval, part, required, expect, via))| {
        let timeout = ((interval as f64 / part) as u64).max(10);
        let expect = ["any", "no-derp", "direct"][expect];
        let via = ["auto", "tcp", "localapi", "socks5://[::1]:1055"][via];
        format!("{url}?interval={interval}ms&timeout={timeout}ms&required={required}&expect={expect}&via={via}")
    })
}

proptest! {
    #[test]
    fn any_bytes_as_a_file_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let outcome = from_file(bytes);
        prop_assert!(outcome.is_ok() || !outcome.unwrap_err().as_slice().is_empty());
    }

    #[test]
    fn any_text_as_file_or_targets_gives_an_answer(text in nasty()) {
        for outcome in [from_file(&text), from_file(format!("targets:\n- {text}")), from_targets(&text)] {
            prop_assert!(outcome.is_ok() || !outcome.unwrap_err().as_slice().is_empty());
        }
    }

    #[test]
    fn a_changed_byte_in_a_good_file_gives_an_answer(at in 0..FULL.len(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = FULL.as_bytes().to_vec();
        bytes[at] = byte;
        if cut { bytes.truncate(at); }
        let outcome = from_file(bytes);
        prop_assert!(outcome.is_ok() || !outcome.unwrap_err().as_slice().is_empty());
    }

    #[test]
    fn what_is_shown_can_be_loaded_and_is_the_same(
        urls in prop::collection::vec(a_target(), 1..5),
        rise in 1..=100u32, fall in 1..=100u32, drain in 0..300_000u64,
        socket in prop::option::of("/[a-zA-Z0-9 \"'\\\\#é\u{85}\u{2028}]{1,20}"),
        listen in prop::option::of(any::<std::net::SocketAddr>().prop_filter("no scope", |at| !matches!(at, SocketAddr::V6(at) if at.scope_id() != 0 || at.flowinfo() != 0))),
    ) {
        let mut file = format!("rise: {rise}\nfall: {fall}\ndrain: {drain}ms\ntargets:\n");
        for (i, url) in urls.iter().enumerate() {
            file.push_str(&format!("  - \"{url}&name=target_{i}\"\n"));
        }
        let mut variables = Vec::new();
        if let Some(socket) = &socket { variables.push(("TELLTAIL_SOCKET", socket.clone())); }
        if let Some(listen) = listen { variables.push(("TELLTAIL_LISTEN", listen.to_string())); }
        let loaded = load(&variables.into_iter().collect(), Some((Path::new(FILE), file.as_bytes())));
        let config = loaded.map_err(|problems| TestCaseError::fail(problems.to_string()))?.config;
        let text = show(&config);
        let again = from_file(&text).map_err(|problems| TestCaseError::fail(format!("{problems}\n{text}")))?.config;
        prop_assert_eq!(&again, &config);
        prop_assert_eq!(show(&again), text);
    }

    #[test]
    fn a_password_is_never_repeated(
        secret in "[A-Za-z0-9]{0,8}([%?#/@:&=,;+! .-]{1,2}[A-Za-z0-9]{0,9}){0,3}",
        scheme in prop_oneof![Just("postgres"), Just("valkey"), Just("rediss"), Just("postgresqll"), Just("tcp")],
        place in 0..5usize,
    ) {
        let secret = format!("S3cr{secret}T");
        let url = match place {
            0 => format!("{scheme}://user:{secret}@db:5432"),
            1 => format!("{scheme}://:{secret}@db:5432/x?sslmode=require"),
            2 => format!("{scheme}://user%3A{}@db:5432", secret.replace(|c: char| !c.is_ascii_alphanumeric(), "")),
            3 => format!("{scheme}://db:5432?via=socks5://user:{secret}@10.0.0.1:1"),
            _ => format!("{scheme}://db:5432?via=http://user:{secret}@10.0.0.1:1"),
        };
        let quoted = url.replace('\\', "\\\\").replace('"', "\\\"");
        for outcome in [from_targets(&url), from_file(format!("targets:\n- \"{quoted}\"\n"))] {
            let text = match outcome {
                Ok(loaded) => show(&loaded.config) + &loaded.warnings.join("\n"),
                Err(problems) => problems.to_string(),
            };
            for piece in secret.split(|c: char| !c.is_ascii_alphanumeric()).filter(|piece| piece.len() >= 5) {
                prop_assert!(!text.contains(piece), "{}", text);
            }
            prop_assert!(!text.contains("S3cr"), "{}", text);
        }
    }
}
