//! The response, and the headers that every response has.

use super::page;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentType {
    /// For people and the kubelet.
    Text,
    /// The exposition format of the `prometheus` crate.
    Metrics,
    /// The status document.
    Json,
    /// The status page.
    Html,
}

impl ContentType {
    pub(super) const fn header(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::Metrics => "text/plain; version=0.0.4; charset=utf-8",
            Self::Json => "application/json",
            Self::Html => "text/html; charset=utf-8",
        }
    }

    const fn security_policy(self) -> &'static str {
        match self {
            Self::Html => page::CONTENT_SECURITY_POLICY,
            Self::Text | Self::Metrics | Self::Json => "default-src 'none'; frame-ancestors 'none'",
        }
    }
}

/// No response is cached or taken for another type, and links do not disclose where the reader came from.
const ALWAYS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONNECTION, "close"),
];

pub(super) fn text(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    response(status, ContentType::Text, body)
}

pub(super) fn response(status: StatusCode, content_type: ContentType, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type.header()));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(content_type.security_policy()));
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
