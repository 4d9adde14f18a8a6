//! What people read: pages without scripts, that look right on a phone and on a desktop. Programs get plain text.

use std::{error::Error, fmt::Write as _, sync::LazyLock};

use base64::Engine as _;
use http::{
    HeaderValue, Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};

use crate::{applications::agents::NoWay, body::Body};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2230;--soft:#5b6475;--paper:#f6f7f9;--card:#fff;--line:#dfe3ea;--mark:#3450c4}\
@media(prefers-color-scheme:dark){:root{--ink:#e8ebf2;--soft:#a2abbd;--paper:#12151c;--card:#1b2029;--line:#303847;--mark:#8ea2ff}}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;display:grid;grid-template-columns:minmax(0,1fr);place-items:center;padding:1.25rem;background:var(--paper);color:var(--ink);\
font:1rem/1.55 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}\
main{width:100%;max-width:38rem;background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1.75rem}\
h1{font-size:1.35rem;line-height:1.25;margin:0 0 .75rem}h2{font-size:1rem;margin:1.5rem 0 .35rem}p{margin:.5rem 0}\
.soft{color:var(--soft);font-size:.9rem}b{color:var(--mark)}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;padding:.75rem;margin:.5rem 0;border:1px solid var(--line);border-radius:.5rem;background:var(--paper);\
font:.85rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}\
pre span{display:inline-block;max-width:100%}\
dl{display:grid;grid-template-columns:auto 1fr;gap:.25rem 1rem;margin:1rem 0 0}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}";

/// Nothing is loaded, nothing runs, nobody frames it, and no form leads anywhere.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = base64::engine::general_purpose::STANDARD.encode(crypto::hash::sha256(STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// Text that may stand in HTML.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}

/// A command line, which breaks between its words only: a flag in two pieces would be another flag.
pub(crate) fn command(line: &str) -> String {
    let words = line.split(' ').map(|word| format!("<span>{}</span>", escaped(word)));
    format!("<pre>{}</pre>\n", words.collect::<Vec<_>>().join(" "))
}

/// A page. `content` is HTML.
pub(crate) fn html(status: StatusCode, title: &str, content: &str) -> Response<Body> {
    let title = escaped(title);
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n{content}\n</main>\n</body>\n</html>\n"
    );
    let mut response = answer(status, "text/html; charset=utf-8", page);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Plain text.
pub(crate) fn plain(status: StatusCode, text: impl Into<Body>) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", text)
}

/// A refusal, as programs read it.
pub(crate) fn refusal(status: StatusCode, message: &str) -> Response<Body> {
    let value = serde_json::json!({ "error": { "message": message }, "message": message });
    answer(status, "application/json", value.to_string())
}

/// An answer of ours that nobody keeps.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A request to an application that got no answer.
pub(crate) fn no_answer(app: &str, id: &str, error: &NoWay, wants_html: bool) -> Response<Body> {
    let mut reason = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        // A String takes all that is written to it.
        let _ = write!(reason, ": {source}");
        next = source.source();
    }
    hop(error.status(), app, id, error.hop(), &reason, wants_html)
}

/// A request that failed at one hop of its way.
pub(crate) fn hop(
    status: StatusCode,
    app: &str,
    id: &str,
    hop: &str,
    reason: &str,
    wants_html: bool,
) -> Response<Body> {
    let reason = reason.trim();
    let mut response = if wants_html {
        let content = format!(
            "<h1>{app} cannot be reached</h1>\n<p>Your request failed on its way {hop}. Trying again in a moment may \
             help.</p>\n<dl><dt>Reason</dt><dd>{reason}</dd><dt>Status</dt><dd>{status}</dd>\
             <dt>Request</dt><dd>{id}</dd></dl>",
            app = escaped(app),
            reason = escaped(reason),
        );
        html(status, &format!("{app} cannot be reached"), &content)
    } else {
        let text = format!("{status}: {app} cannot be reached; it failed {hop}: {reason} (request {id})\n");
        plain(status, text)
    };
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(crate::hygiene::REQUEST_ID, id);
    }
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_failure_names_the_hop_and_the_request_and_nothing_of_it_is_markup() {
        let error = NoWay::Tunnel(tunnel::OpenError::NotConnected("<b>host</b>".into()));
        for wants_html in [true, false] {
            let response = no_answer("<i>app</i>", "abc123", &error, wants_html);
            assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
            assert_eq!(response.headers()["x-teleport-request-id"], "abc123");
            let text = response.into_body().collect().await.unwrap().to_bytes();
            let text = std::str::from_utf8(&text).unwrap();
            for part in ["between the proxy and the agent", "abc123", "no tunnel to host"] {
                assert!(text.contains(part), "{part} is missing: {text}");
            }
            assert!(!wants_html || !text.contains("<i>app") && !text.contains("<b>host"), "{text}");
        }
        assert_eq!(no_answer("app", "1", &NoWay::Late, false).status(), StatusCode::GATEWAY_TIMEOUT);
    }
}
