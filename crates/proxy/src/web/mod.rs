//! The proxy's own surface: what clients ask before they sign in, and the pages that people see.

mod export;
mod find;
mod join;
pub(crate) mod launch;
mod login;
pub(crate) mod scripts;
mod upgrade;
mod websocket;

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::{Proxy, applications::Visit, body::Body, pages};

/// Answers a request to the proxy itself.
pub(crate) async fn answer(proxy: &Arc<Proxy>, visit: &Visit, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let path = path.strip_prefix("/v1").filter(|rest| rest.starts_with("/webapi/")).unwrap_or(&path);
    if path == "/webapi/host/credentials" && request.method() == Method::POST {
        return join::answer(proxy, visit.source(proxy, request.headers()), request).await;
    }
    let is_for_programs = path.starts_with("/webapi/");
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        if is_for_programs {
            return pages::refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here");
        }
        return pages::plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
    }
    if path == "/webapi/connectionupgrade" {
        return upgrade::answer(proxy, visit, request);
    }
    let query = request.uri().query().unwrap_or_default();
    match path {
        "/webapi/find" | "/webapi/ping" => find::find(proxy),
        path if path.starts_with("/webapi/ping/") => find::find(proxy),
        "/webapi/motd" => find::motd(proxy),
        "/webapi/auth/export" => export::export(&proxy.view, value(query, "type")),
        "/.well-known/jwks.json" => export::jwks(&proxy.view),
        "/readyz" => ready(proxy),
        "/" | "/web" | "/web/" | "/web/login" => login::page(proxy, query),
        path if path.starts_with("/web/invite/") || path.starts_with("/web/reset/") => no_passwords(),
        path if is_for_programs => pages::refusal(StatusCode::NOT_FOUND, &format!("there is no {path} here")),
        path => {
            let launched = path.strip_prefix("/web/launch/").map(launch::launch);
            let script = || path.strip_prefix("/scripts/").and_then(|rest| scripts::script(proxy, rest, query));
            launched.or_else(script).unwrap_or_else(|| {
                pages::html(StatusCode::NOT_FOUND, "Not found", "<h1>Not found</h1>\n<p>There is no such page.</p>")
            })
        }
    }
}

/// Behind the links of `tctl users add` and `tctl users reset`.
fn no_passwords() -> Response<Body> {
    let content = format!(
        "<h1>Passwords cannot be set here yet</h1>\n<p>Your link is in order, and this page cannot do yet what it is for. \
         Ask your administrator for a certificate instead:</p>\n{}",
        pages::command("tctl auth sign --user=NAME --out=NAME")
    );
    pages::html(StatusCode::NOT_IMPLEMENTED, "Not yet", &content)
}

fn ready(proxy: &Proxy) -> Response<Body> {
    if proxy.view.authorities().user.is_empty() {
        pages::plain(StatusCode::SERVICE_UNAVAILABLE, "the auth service has not been heard yet\n")
    } else {
        pages::plain(StatusCode::OK, "ok\n")
    }
}

/// A value of a query, as it stands.
pub(crate) fn value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}
