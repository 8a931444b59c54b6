//! The endpoints, and the rules for every request.

use super::access;
use super::healthz::{self, HealthQuery};
use super::page as status_page;
use super::response::{ContentType, response, text};
use crate::config::Gate;
use crate::document::Document;
use crate::slug::slug_enum;
use crate::state::{Snapshot, State};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::routing::any;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

/// What the endpoints need.
#[derive(Clone)]
pub struct App {
    /// Shared state.
    pub state: Arc<State>,
    /// The pod's name, under which its pages may be read.
    pub pod_name: Option<String>,
    /// Renders `/metrics`.
    pub metrics: Arc<dyn Fn(&Snapshot) -> String + Send + Sync>,
    /// Called for every response, to count it.
    pub observe: Arc<dyn Fn(Route, StatusCode) + Send + Sync>,
}

slug_enum! {
    /// The route of a request: a closed list, whatever the path.
    pub enum Route {
        /// `/healthz`, `/readyz`.
        Healthz = "healthz",
        /// `/healthz/NAME`, `/readyz/NAME`: separate from the above, which the kubelet requests.
        HealthzCheck = "healthz_check",
        /// `/livez`.
        Livez = "livez",
        /// `/startupz`.
        Startupz = "startupz",
        /// `/metrics`.
        Metrics = "metrics",
        /// `/api/v1/status`.
        Status = "status",
        /// `/`.
        Index = "index",
        /// Anything else.
        Other = "other",
    }
}

type Handler = fn(&App, &Snapshot, &HealthQuery<'_>) -> Response<Body>;

/// How long everybody else has the thread to themselves before a page is rendered. 2 ms: dozens of connections are accepted
/// meanwhile, so that the kubelet's does not wait for a page with each of those before it.
const PAUSE_BEFORE_PAGE: Duration = Duration::from_millis(2);

/// All endpoints.
pub fn router(app: App) -> Router {
    let on = |route: Route, handler: Handler| {
        let app = app.clone();
        any(move |request: Request| std::future::ready(respond(&app, route, handler, &request)))
    };
    // A page takes milliseconds to render, of a thread that also answers the kubelet.
    let turn = Arc::new(Semaphore::new(1));
    let page = |route: Route, handler: Handler| {
        let (app, turn) = (app.clone(), Arc::clone(&turn));
        any(async move |request: Request| {
            let _turn = turn.acquire().await;
            sleep(PAUSE_BEFORE_PAGE).await;
            respond(&app, route, handler, &request)
        })
    };
    Router::new()
        .route("/healthz", on(Route::Healthz, |_, snapshot, query| healthz::readiness(snapshot, query)))
        .route("/readyz", on(Route::Healthz, |_, snapshot, query| healthz::readiness(snapshot, query)))
        .route("/healthz/{name}", on(Route::HealthzCheck, |_, snapshot, query| healthz::single_check(snapshot, query)))
        .route("/readyz/{name}", on(Route::HealthzCheck, |_, snapshot, query| healthz::single_check(snapshot, query)))
        .route("/livez", on(Route::Livez, |_, _, _| text(StatusCode::OK, "ok\n")))
        .route("/startupz", on(Route::Startupz, |_, snapshot, query| startupz(snapshot, query)))
        .route("/metrics", page(Route::Metrics, |app, snapshot, _| ok(ContentType::Metrics, (app.metrics)(snapshot))))
        .route(
            "/api/v1/status",
            page(Route::Status, |_, snapshot, _| ok(ContentType::Json, document(snapshot).json() + "\n")),
        )
        .route(
            "/",
            page(Route::Index, |_, snapshot, _| ok(ContentType::Html, status_page::render(&document(snapshot)))),
        )
        .fallback(on(Route::Other, |_, _, _| text(StatusCode::NOT_FOUND, "not found\n")))
}

fn respond(app: &App, route: Route, handler: Handler, request: &Request) -> Response<Body> {
    let snapshot = app.state.snapshot(Instant::now());
    let page = matches!(route, Route::Status | Route::Index);
    let access = || access::refusal(&snapshot.config, app.pod_name.as_deref(), request);
    let response = refuse(request.method(), request.headers())
        .or_else(|| page.then(access).flatten())
        .unwrap_or_else(|| handler(app, &snapshot, &HealthQuery::from(request.uri())));
    (app.observe)(route, response.status());
    response
}

/// The response to a request that no endpoint takes. A body is not read: the connection is closed after the response.
fn refuse(method: &Method, headers: &HeaderMap) -> Option<Response<Body>> {
    let empty = headers.get_all(header::CONTENT_LENGTH).iter().all(|length| length == "0");
    if headers.contains_key(header::TRANSFER_ENCODING) || !empty {
        return Some(text(StatusCode::PAYLOAD_TOO_LARGE, "no request body is read\n"));
    }
    let allowed = method == Method::GET || method == Method::HEAD;
    (!allowed).then(|| text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"))
}

fn ok(content_type: ContentType, body: String) -> Response<Body> {
    response(StatusCode::OK, content_type, body)
}

fn document(snapshot: &Snapshot) -> Document {
    Document::of(snapshot, SystemTime::now())
}

fn startupz(snapshot: &Snapshot, query: &HealthQuery<'_>) -> Response<Body> {
    let gate = snapshot.config.startup_gate;
    match snapshot.gate {
        Some(release) if query.verbose => {
            let body = format!("[+]gate {} open: {}\nstartupz check passed\n", gate.slug(), release.slug());
            text(StatusCode::OK, body)
        }
        Some(_) => text(StatusCode::OK, "ok\n"),
        None => {
            let waits = match gate {
                Gate::Tailnet => "waits until tailscaled runs and knows every required target",
                Gate::Targets => "waits until every required target is up",
                Gate::None => "opens at once",
            };
            let body = format!("[-]gate {} shut: {waits}\nstartupz check failed\n", gate.slug());
            text(StatusCode::SERVICE_UNAVAILABLE, body)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, ALL_UP, VALKEY_REFUSES};
    use super::*;
    use crate::config::{Mode, Via};
    use crate::network_mode::NetworkMode;
    use crate::node::Node;
    use crate::reason::{Failure, Reason};
    use axum::http::response::Parts;
    use http_body_util::BodyExt;
    use proptest::prelude::*;
    use tower::ServiceExt;

    async fn send(app: App, method: &str, target: &str) -> (Parts, String) {
        let request = axum::http::Request::builder().method(method).uri(target).header("host", "10.1.2.3:8245");
        let request = request.body(Body::empty()).unwrap();
        let response = router(app).oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(state: &Arc<State>, target: &str) -> (u16, String) {
        let (head, body) = send(fixture::app(Arc::clone(state)).0, "GET", target).await;
        (head.status.as_u16(), body)
    }

    async fn code(state: &Arc<State>, target: &str) -> u16 {
        get(state, target).await.0
    }

    /// The text with every duration cut out.
    async fn text_of(state: &Arc<State>, target: &str) -> String {
        let (_, text) = get(state, target).await;
        text.replace(" for 0s", "")
    }

    #[tokio::test]
    async fn a_passing_check_is_ok_and_a_failing_one_is_explained() {
        let up = fixture::after(Mode::Strict, &ALL_UP);
        assert_eq!(get(&up, "/healthz").await, (200, "ok\n".to_owned()));
        assert_eq!(get(&up, "/readyz").await, (200, "ok\n".to_owned()));
        assert_eq!(
            text_of(&up, "/healthz?verbose").await,
            "[+]node ok: up, running\n\
             [+]db ok: up, depth protocol, auth_required\n\
             [+]valkey ok: up, depth protocol, accepting\n\
             [+]cache ok, optional: up, depth tcp, connected\n\
             mode strict\n\
             by mode: strict passed, local passed, observe passed\n\
             healthz check passed\n"
        );
        let refused = fixture::after(Mode::Strict, &VALKEY_REFUSES);
        assert_eq!(code(&refused, "/healthz").await, 503);
        assert_eq!(
            text_of(&refused, "/healthz").await,
            "[+]node ok: up, running\n\
             [+]db ok: up, depth protocol, auth_required\n\
             [-]valkey failed: connect_refused (scope service), down, depth protocol. The target's machine answers, but \
             nothing listens on the port.\n\
             [ ]cache failed, optional: connect_timeout (scope path), down, depth tcp. The connection attempt got no \
             answer in time.\n\
             mode strict\n\
             healthz check failed\n"
        );
    }

    #[tokio::test]
    async fn before_the_first_round_nothing_is_ready_but_the_process_lives() {
        let fresh = fixture::fresh(Mode::Strict, Gate::Tailnet);
        let (status, body) = get(&fresh, "/healthz").await;
        assert_eq!(status, 503);
        assert!(
            body.starts_with("[-]node failed: not looked at yet, unknown for 0s\n[-]db failed: not looked at"),
            "{body}"
        );
        assert_eq!(get(&fresh, "/livez").await, (200, "ok\n".to_owned()));
        assert_eq!(code(&fresh, "/startupz").await, 503);
        assert_eq!(code(&fresh, "/healthz/node").await, 503);
    }

    #[tokio::test]
    async fn a_single_failure_is_shown_but_does_not_count() {
        let up = fixture::after(Mode::Strict, &ALL_UP);
        let slow = crate::config::Config { fall: 3, rise: 3, ..fixture::config(Mode::Strict, Gate::Tailnet) };
        up.reconfigure(Arc::new(slow), Instant::now(), SystemTime::now());
        fixture::record(&up, fixture::running(NetworkMode::Tun), &VALKEY_REFUSES);
        let text = text_of(&up, "/healthz?verbose").await;
        let line = "[+]valkey ok: up, depth protocol, but failed last: connect_refused (scope service)\n";
        assert!(text.contains(line), "{text}");
        let down = fixture::after(Mode::Strict, &VALKEY_REFUSES);
        let slow = crate::config::Config { rise: 3, ..fixture::config(Mode::Strict, Gate::Tailnet) };
        down.reconfigure(Arc::new(slow), Instant::now(), SystemTime::now());
        fixture::record(&down, fixture::running(NetworkMode::Tun), &ALL_UP);
        let text = text_of(&down, "/healthz").await;
        assert!(text.contains("[-]valkey failed: down, depth protocol, but succeeded last: accepting\n"), "{text}");
    }

    #[tokio::test]
    async fn an_excluded_check_does_not_count_and_an_unknown_one_is_not_repeated() {
        let state = fixture::after(Mode::Strict, &VALKEY_REFUSES);
        assert_eq!(get(&state, "/healthz?exclude=valkey").await, (200, "ok\n".to_owned()));
        assert_eq!(code(&state, "/healthz?exclude=db").await, 503);
        assert_eq!(code(&state, "/healthz?exclude=db&exclude=valkey").await, 200);
        let text = text_of(&state, "/healthz?verbose&exclude=valkey&exclude=db&exclude=s3cret&exclude=").await;
        for part in [
            "[+]db excluded: up, depth protocol, auth_required\n",
            "[ ]valkey excluded: connect_refused (scope service), down,",
            "by mode: strict passed, local passed, observe passed\n",
            "warning: names in exclude= that are no check: 2\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("s3cret"), "{text}");
        let stopped = Node { fault: Some(Failure::new(Reason::NodeStopped, "")), ..fixture::running(NetworkMode::Tun) };
        fixture::record(&state, stopped, &ALL_UP);
        assert_eq!(code(&state, "/healthz").await, 503);
        assert_eq!(code(&state, "/healthz?exclude=node").await, 200);
    }

    #[tokio::test]
    async fn the_mode_in_force_decides_and_the_text_says_what_it_ignores() {
        let observe = fixture::after(Mode::Observe, &VALKEY_REFUSES);
        assert_eq!(code(&observe, "/healthz").await, 200);
        let text = text_of(&observe, "/healthz?verbose").await;
        assert!(text.contains("[ ]valkey failed, does not count in mode observe: connect_refused"), "{text}");
        assert!(text.contains("mode observe\nby mode: strict failed, local failed, observe passed\n"), "{text}");
        let local = fixture::after(Mode::Local, &ALL_UP);
        fixture::record(&local, fixture::running(NetworkMode::Tun), &VALKEY_REFUSES);
        assert_eq!(code(&local, "/healthz").await, 200);
        let text = text_of(&local, "/healthz?verbose").await;
        assert!(text.contains("by mode: strict failed, local passed, observe passed\n"), "{text}");
    }

    #[tokio::test]
    async fn draining_is_named_and_cannot_be_excluded() {
        let state = fixture::after(Mode::Observe, &ALL_UP);
        state.drain();
        let (status, body) = get(&state, "/healthz?exclude=draining&exclude=node").await;
        assert_eq!(status, 503);
        assert!(body.contains("\n[-]draining failed: telltail was told to stop"), "{body}");
        assert_eq!((code(&state, "/livez").await, code(&state, "/metrics").await), (200, 200));
    }

    #[tokio::test]
    async fn a_single_check_shows_its_own_state_in_every_mode() {
        for mode in Mode::ALL {
            let state = fixture::after(mode, &VALKEY_REFUSES);
            assert_eq!(get(&state, "/healthz/db").await, (200, "ok\n".to_owned()));
            assert_eq!(get(&state, "/readyz/node").await, (200, "ok\n".to_owned()));
            let (status, body) = get(&state, "/healthz/valkey").await;
            assert_eq!(status, 503);
            assert!(body.starts_with("[-]valkey failed: connect_refused (scope service), down for"), "{body}");
            assert_eq!(code(&state, "/healthz/cache").await, 503);
            for unknown in ["/healthz/nobody", "/healthz/", "/healthz/db/", "/healthz/d%62", "/healthz/DB"] {
                assert_eq!(code(&state, unknown).await, 404, "{unknown}");
            }
        }
    }

    #[tokio::test]
    async fn in_userspace_mode_the_workers_own_path_is_untested_without_a_proxy() {
        let state = fixture::fresh(Mode::Strict, Gate::Tailnet);
        let mut config = fixture::config(Mode::Strict, Gate::Tailnet);
        std::sync::Arc::make_mut(&mut config.targets[1]).via = Via::Socks5("127.0.0.1:1055".parse().unwrap());
        state.reconfigure(Arc::new(config), Instant::now(), SystemTime::now());
        fixture::record(&state, fixture::running(NetworkMode::Userspace), &ALL_UP);
        let text = text_of(&state, "/healthz?verbose").await;
        assert!(
            text.contains("the way on which the worker itself reaches db, cache is not tested until via="),
            "{text}"
        );
        fixture::record(&state, fixture::running(NetworkMode::Tun), &ALL_UP);
        assert!(!text_of(&state, "/healthz?verbose").await.contains("worker"));
    }

    #[tokio::test]
    async fn the_startup_gate_says_why_it_opened_or_what_it_waits_for() {
        let shut = fixture::fresh(Mode::Strict, Gate::Targets);
        assert_eq!(
            get(&shut, "/startupz").await,
            (503, "[-]gate targets shut: waits until every required target is up\nstartupz check failed\n".to_owned())
        );
        let open = fixture::after(Mode::Strict, &VALKEY_REFUSES);
        assert_eq!(get(&open, "/startupz").await, (200, "ok\n".to_owned()));
        assert_eq!(
            text_of(&open, "/startupz?verbose").await,
            "[+]gate tailnet open: condition\nstartupz check passed\n"
        );
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(text_of(&shut, "/startupz?verbose").await, "[+]gate targets open: timeout\nstartupz check passed\n");
    }

    #[tokio::test]
    async fn every_response_forbids_sniffing_and_caching_and_ends_the_connection() {
        for (method, target, status, content_type) in [
            ("GET", "/", 200, ContentType::Html),
            ("GET", "/healthz", 503, ContentType::Text),
            ("HEAD", "/metrics", 200, ContentType::Metrics),
            ("GET", "/metrics", 200, ContentType::Metrics),
            ("GET", "/api/v1/status", 200, ContentType::Json),
            ("POST", "/api/v1/status", 405, ContentType::Text),
            ("GET", "/api/v1/", 404, ContentType::Text),
            ("GET", "/nowhere", 404, ContentType::Text),
            ("DELETE", "/metrics", 405, ContentType::Text),
            ("OPTIONS", "/nowhere", 405, ContentType::Text),
        ] {
            let (app, _) = fixture::app(fixture::after(Mode::Strict, &VALKEY_REFUSES));
            let (head, body) = send(app, method, target).await;
            assert_eq!(head.status.as_u16(), status, "{method} {target}");
            for (name, value) in [
                ("content-type", content_type.header()),
                ("x-content-type-options", "nosniff"),
                ("cache-control", "no-store"),
                ("referrer-policy", "no-referrer"),
                ("connection", "close"),
            ] {
                assert_eq!(head.headers.get(name).unwrap(), value, "{method} {target}");
            }
            let policy = head.headers["content-security-policy"].to_str().unwrap();
            assert!(
                policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'"),
                "{policy}"
            );
            assert_eq!(head.headers.get("allow").is_some(), status == 405, "{method} {target}");
            assert_eq!(body.is_empty(), method == "HEAD", "{method} {target}");
        }
    }

    #[tokio::test]
    async fn accept_headers_change_nothing() {
        let (app, counted) = fixture::app(fixture::after(Mode::Strict, &ALL_UP));
        let accept = "application/openmetrics-text;version=1.0.0,".repeat(1000);
        let request = axum::http::Request::builder()
            .uri("/metrics")
            .header("accept", accept)
            .header("accept-encoding", "gzip, br, zstd")
            .body(Body::empty());
        let response = router(app).oneshot(request.unwrap()).await.unwrap();
        assert_eq!(response.headers().get("content-type").unwrap(), ContentType::Metrics.header());
        assert!(!response.headers().contains_key("content-encoding"));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "telltail_ready 1\n");
        assert_eq!(*counted.lock().unwrap(), [(Route::Metrics, StatusCode::OK)]);
    }

    proptest! {
        #[test]
        fn every_request_gets_a_documented_status_and_no_evidence(
            method in prop_oneof![Just("GET".to_owned()), "[A-Z]{1,12}"],
            path in prop_oneof![
                "/[a-zA-Z0-9/%._~!*()-]{0,40}",
                "/(healthz|readyz|livez|startupz|metrics|api/v1/status)?(/[a-z0-9%._/-]{0,20})?",
                Just("*".to_owned()),
                "http://[a-z]{1,9}/(healthz|livez|zzz|api/v1/status)?",
            ],
            query in "(\\?(verbose|exclude=(node|db|valkey|[a-z%0-9]{0,9})|[a-z=&%0-9]{0,9})(&exclude=[a-z]{0,9}){0,3})?",
            length in prop_oneof![Just(None), Just(Some("0")), Just(Some("7")), Just(Some("x"))],
            host in prop_oneof![Just(None), Just(Some("localhost")), Just(Some("evil.example"))],
            up: bool,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let state = fixture::after(Mode::Strict, if up { &ALL_UP } else { &VALKEY_REFUSES });
                let (app, counted) = fixture::app(state);
                let mut request = axum::http::Request::builder().method(method.as_str()).uri(format!("{path}{query}"));
                if let Some(host) = host {
                    request = request.header("host", host);
                }
                if let Some(length) = length {
                    request = request.header("content-length", length);
                }
                let Ok(request) = request.body(Body::empty()) else { return };
                let response = router(app).oneshot(request).await.unwrap();
                let status = response.status();
                let counted = counted.lock().unwrap().clone();
                assert_eq!(counted.len(), 1);
                assert_eq!(counted[0].1, status);
                let allowed = [200, 404, 405, 413, 421, 503];
                assert!(allowed.contains(&status.as_u16()), "{status}");
                let probe = matches!(counted[0].0, Route::Healthz | Route::HealthzCheck | Route::Startupz);
                assert!(probe || !status.is_server_error(), "{status} for {path}");
                let body = response.into_body().collect().await.unwrap().to_bytes();
                let body = String::from_utf8(body.to_vec()).unwrap();
                // The kubelet copies the responses to its probes into events.
                let evidence = matches!(counted[0].0, Route::Status | Route::Index) && host != Some("evil.example");
                assert!(body.is_ascii(), "{body}");
                assert!(evidence || !body.contains("100.64.0.7") && !body.contains("secret"), "{body}");
            });
        }
    }

    #[test]
    fn the_slugs_of_routes_are_unique() {
        let slugs: std::collections::HashSet<_> = Route::ALL.iter().map(|route| route.slug()).collect();
        assert_eq!(slugs.len(), Route::ALL.len());
    }
}
