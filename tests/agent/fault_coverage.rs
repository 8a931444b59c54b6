//! Faults of the list that the table does not play: where they are proven instead, or why they are not.

/// Numbers in the list of faults, what has happened, and where that is proven; or `not covered:` and why.
pub const ROWS: &[(&[u8], &str, &str)] = &[
    (
        &[1],
        "the socket is missing at the start",
        "tests/agent/lifecycle.rs; real: tests/tailnet/tests/scenarios/start_and_end.rs",
    ),
    (
        &[4],
        "no permission on the socket (EACCES)",
        "tests/localapi.rs and tests/binary, as another user; real: tests/tailnet/tests/doctor",
    ),
    (
        &[29],
        "a liar owns the socket",
        "not covered: no check of the peer's uid is built, it would refuse containerboot's own layout",
    ),
    (
        &[31],
        "our calls flood tailscaled's log",
        "not covered as a fault: calls are counted in tests/agent/paths.rs and measured by tests/tailnet/examples/cost.rs",
    ),
    (&[32], "fifty clients at once", "tests/localapi.rs"),
    (&[48], "a hostile name in the configuration", "src/config/host.rs, src/config/tests.rs, tests/agent/reload.rs"),
    (
        &[49],
        "a resolver that stays wedged",
        "not covered: there is none, each lookup has a socket of its own (src/probe/dns.rs)",
    ),
    (&[61], "loss and jitter", "src/prober/tests/soak.rs; real: tests/tailnet/tests/paths/soak.rs"),
    (&[70], "a subnet router fails over", "not covered: targets behind subnet routers are refused"),
    (
        &[75],
        "a read-only standby where a primary is wanted",
        "not covered: needs a query, and telltail has no credentials",
    ),
    (&[92], "half-logins use up the server's places", "real: tests/servers/tests/postgres.rs"),
    (&[93], "probes leave lines in the server's log", "real: tests/servers/tests/postgres.rs, pgbouncer.rs, valkey.rs"),
    (
        &[99],
        "a stale replica, a Sentinel, a cluster without slots or a proxy without a backend says PONG",
        "real: tests/servers/tests/valkey.rs; a known limit of a PING, in docs/compatibility.md",
    ),
    (
        &[111],
        "the wall clock jumps",
        "not covered: decisions are told a monotonic time and take no clock, but none was moved in a test",
    ),
    (&[112, 114, 115, 116, 117], "suspended, throttled, out of memory, descriptors or ports", "not covered yet"),
    (&[113], "a probe that our own stall cut short", "src/prober/tests.rs"),
    (&[118], "the port is taken at the start", "tests/binary, src/admin/server"),
    (&[119], "the listener's address goes away", "not covered: the default listens on every address"),
    (&[120, 121], "a task panics or blocks", "not covered: a panic ends the process on purpose; a block is not told"),
    (
        &[122],
        "the log's reader stalls or goes away, its disk is full, or everything flaps",
        "tests/binary/log.rs, src/log_queue.rs; how many lines: src/transition_log/tests.rs, src/prober/tests/log_volume.rs",
    ),
    (&[123], "a probe longer than its interval", "src/config/tests.rs refuses it; src/prober/tests.rs"),
    (&[124, 125], "a thousand pods start or wait together", "src/prober/tests/soak.rs"),
    (&[126], "no HOME, nowhere to write", "tests/binary"),
    (&[127], "two targets at one address", "src/fleet_load.rs"),
    (&[128, 129], "SIGTERM at any moment, a second one", "tests/binary, tests/agent/lifecycle.rs"),
    (&[130], "a slow scraper holds the shutdown", "src/admin/server"),
    (&[131], "SIGKILL, then a restart", "not covered as such: there is no state on disk"),
    (&[132, 133, 135], "reloads: good, bad, torn", "tests/agent/reload.rs"),
    (&[134, 141], "a thousand SIGHUPs, signals that mean nothing", "tests/binary"),
    (
        &[136, 137, 138, 139],
        "broken, huge or misspelt configurations, and what is no regular file (FIFO, socket, device, directory)",
        "src/config/tests.rs, src/config/yaml.rs; no regular file: tests/binary, src/regular_file.rs",
    ),
    (&[140], "a secret file rotates", "not covered: telltail has no secrets"),
    (
        &[142, 152, 153],
        "scrapes by the thousand, while reloading",
        "not covered: scrapes are read from a snapshot; one at a time in tests/metrics and tests/agent",
    ),
    (&[143, 144, 145, 146, 147, 148, 149, 151], "hostile HTTP clients", "src/admin/server"),
    (&[150], "random methods and paths", "src/admin/routes.rs, tests/metrics/hostile.rs"),
    (&[154], "response splitting by names", "src/config/tests.rs refuses them; tests/metrics/hostile.rs"),
    (&[155], "headers that ask for another form", "src/admin/routes.rs"),
    (
        &[156],
        "a pooler that does not know GSSENCRequest: it closes, refuses, is silent, or wants TLS",
        "tests/agent/questions.rs, with the bytes that others have reported; real, of poolers that do: \
         tests/servers/tests/pgbouncer.rs, pgpool.rs",
    ),
    (
        &[157],
        "a resolv.conf without a usable server, or with a zone",
        "src/probe/resolver.rs; real: tests/tailnet/tests/doctor/resolver.rs",
    ),
    (&[158], "a pod's IPv6 address without brackets where telltail listens", "src/config/syntax/address.rs"),
];
