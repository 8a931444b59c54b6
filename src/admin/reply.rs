//! An answer, and the headers that every answer has.

use super::page;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};

/// An answer.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) form: Form,
    pub(super) body: String,
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For people and the kubelet.
    Text,
    /// The exposition format of the `prometheus` crate.
    Metrics,
    /// The status document.
    Json,
    /// The status page.
    Page,
}

impl Form {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::Metrics => "text/plain; version=0.0.4; charset=utf-8",
            Self::Json => "application/json",
            Self::Page => "text/html; charset=utf-8",
        }
    }

    /// What a browser may do with it.
    fn policy(self) -> &'static str {
        match self {
            Self::Page => page::SECURITY_POLICY,
            Self::Text | Self::Metrics | Self::Json => "default-src 'none'; frame-ancestors 'none'",
        }
    }
}

/// Nothing that is answered may be kept or be taken for something else, and what it links to is not told where the reader
/// came from.
const ALWAYS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONNECTION, "close"),
];

impl Reply {
    pub(super) fn text(status: StatusCode, body: impl Into<String>) -> Self {
        Self { status, form: Form::Text, body: body.into() }
    }

    pub(super) fn ok(form: Form, body: String) -> Self {
        Self { status: StatusCode::OK, form, body }
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.form.content_type()));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(self.form.policy()));
        for (name, value) in ALWAYS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}
