use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{
    Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, SET_COOKIE},
};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{APP, SESSION, World, get, text, world};

type Sender = SendRequest<Full<Bytes>>;

const BEARER: &str = "a token that only the browser has";

/// A session that a browser holds.
async fn with_browser() -> World {
    let world = world().await;
    world.session("alice", "grafana", SESSION).await;
    world.sessions.give_to_browser(SESSION, BEARER);
    world
}

fn cookies(id: &str, bearer: &str) -> String {
    format!("a=1; __Host-grv_app_session={id}; __Host-grv_app_session_subject={bearer}")
}

fn with(mut request: Request<Full<Bytes>>, headers: &[(&'static str, &str)]) -> Request<Full<Bytes>> {
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

fn set_cookies(response: &Response<Incoming>) -> Vec<String> {
    response.headers().get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

/// The first leg: the state that the browser is given.
async fn begin(sender: &mut Sender) -> String {
    let response = sender.send_request(get(APP, "/x-teleport-auth?path=%2Fd%2Fx&query=a%3Db")).await.unwrap();
    assert_eq!(response.status(), StatusCode::FOUND);
    let cookie = set_cookies(&response).remove(0);
    let state = cookie.strip_prefix("__Host-grv_app_auth_state=").unwrap().split(';').next().unwrap().to_owned();
    assert!(cookie.contains("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
    assert_eq!(
        response.headers()[LOCATION],
        format!("https://proxy.example:3080/web/launch/grafana.proxy.example?state={state}&path=%2Fd%2Fx&query=a%3Db")
    );
    state
}

fn post(state: &str, cookie: &str, id: &str, bearer: &str) -> Request<Full<Bytes>> {
    let body = serde_json::json!({ "state_value": state, "cookie_value": id, "subject_cookie_value": bearer });
    let mut request = Request::new(Full::new(Bytes::from(body.to_string())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = "/x-teleport-auth".parse().unwrap();
    with(
        request,
        &[
            ("host", APP),
            ("origin", &format!("https://{APP}")),
            ("content-type", "application/json"),
            ("cookie", &format!("__Host-grv_app_auth_state={cookie}")),
        ],
    )
}

#[tokio::test]
async fn a_browser_exchanges_what_its_launcher_got_for_cookies_that_reach_the_application() {
    let world = with_browser().await;
    let _agent = world.agent().await;
    let mut sender = world.http(APP, None).await;
    let state = begin(&mut sender).await;

    let page = sender.send_request(get(APP, &format!("/x-teleport-auth?state={state}&path=%2F"))).await.unwrap();
    assert_eq!((page.status(), &page.headers()[CACHE_CONTROL]), (StatusCode::OK, &"no-store".parse().unwrap()));
    assert_eq!(page.headers()[REFERRER_POLICY], "no-referrer");
    let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    let page = text(page).await;
    let script = page.split("<script>").nth(1).unwrap().split("</script>").next().unwrap();
    let hash = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(crypto::hash::sha256(script.as_bytes()))
    };
    assert!(policy.contains(&format!("script-src 'sha256-{hash}'")), "just this script runs: {policy}");
    assert!(!page.contains(&state), "nothing of the address is in the page");

    let response = sender.send_request(post(&state, &state, SESSION, BEARER)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let set = set_cookies(&response);
    for expect in [
        format!("__Host-grv_app_session={SESSION}; Path=/; Secure; HttpOnly; SameSite=Lax"),
        format!("__Host-grv_app_session_subject={BEARER}; Path=/; Secure; HttpOnly; SameSite=Lax"),
        "__Host-grv_app_auth_state=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0".to_owned(),
    ] {
        assert!(set.contains(&expect), "{expect} is missing: {set:?}");
    }
    drop(text(response).await);

    let request = with(get(APP, "/d/x"), &[("cookie", &cookies(SESSION, BEARER))]);
    let seen = text(sender.send_request(request).await.unwrap()).await;
    assert!(seen.contains("user: alice") && seen.contains("cookie: a=1"), "{seen}");
    assert!(!seen.contains(SESSION) && !seen.contains(BEARER), "the cookies went on: {seen}");
}

#[tokio::test]
async fn an_exchange_is_taken_only_from_the_browser_that_began_it_and_only_whole() {
    let world = with_browser().await;
    world.session("bob", "prometheus", "other").await;
    world.sessions.give_to_browser("other", BEARER);
    world.session("carol", "grafana", "by certificate").await;
    let mut sender = world.http(APP, None).await;
    let state = begin(&mut sender).await;
    let other = begin(&mut sender).await;
    let whole = || post(&state, &state, SESSION, BEARER);
    let mut without_cookie = whole();
    without_cookie.headers_mut().remove("cookie");
    let mut without_origin = whole();
    without_origin.headers_mut().remove("origin");
    for (what, request, status) in [
        ("no state cookie", without_cookie, StatusCode::FORBIDDEN),
        ("another browser's state", post(&other, &state, SESSION, BEARER), StatusCode::FORBIDDEN),
        ("no state at all", post("", "", SESSION, BEARER), StatusCode::FORBIDDEN),
        ("no origin", without_origin, StatusCode::FORBIDDEN),
        ("another origin", with(whole(), &[("origin", "https://evil.proxy.example")]), StatusCode::FORBIDDEN),
        ("a form", with(whole(), &[("content-type", "text/plain")]), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("another bearer", post(&state, &state, SESSION, "guessed"), StatusCode::FORBIDDEN),
        ("no bearer", post(&state, &state, SESSION, ""), StatusCode::FORBIDDEN),
        ("no such session", post(&state, &state, "guessed", BEARER), StatusCode::FORBIDDEN),
        ("another application's session", post(&state, &state, "other", BEARER), StatusCode::FORBIDDEN),
        ("a certificate's session", post(&state, &state, "by certificate", BEARER), StatusCode::FORBIDDEN),
    ] {
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{what}");
        let set = set_cookies(&response);
        assert!(!set.iter().any(|cookie| cookie.starts_with("__Host-grv_app_session")), "{what}: {set:?}");
        assert!(!text(response).await.contains(SESSION), "{what}");
    }
    assert_eq!(sender.send_request(whole()).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn cookies_that_are_not_good_lead_to_the_login_page() {
    let world = with_browser().await;
    let _agent = world.agent().await;
    world.session("bob", "prometheus", "other").await;
    world.sessions.give_to_browser("other", BEARER);
    world.session("carol", "grafana", "by certificate").await;
    let mut sender = world.http(APP, None).await;
    for (what, cookie) in [
        ("the id alone", format!("__Host-grv_app_session={SESSION}")),
        ("another bearer", cookies(SESSION, "guessed")),
        ("the id as its own bearer", cookies(SESSION, SESSION)),
        ("another application's", cookies("other", BEARER)),
        ("a certificate's session", cookies("by certificate", BEARER)),
        ("what logs call it", cookies(&crypto::hash::sha256_hex(SESSION.as_bytes())[..32], BEARER)),
        ("twice", format!("{}; {}", cookies(SESSION, BEARER), cookies(SESSION, BEARER))),
    ] {
        let response = sender.send_request(with(get(APP, "/"), &[("cookie", &cookie)])).await.unwrap();
        assert_eq!(response.status(), StatusCode::FOUND, "{what}");
        drop(text(response).await);
    }
    // Who holds a cookie's session has no use for it with a certificate.
    let certificate = world.session("dave", "grafana", "of a browser").await;
    world.sessions.give_to_browser("of a browser", BEARER);
    let mut sender = world.http(APP, Some(certificate)).await;
    assert_eq!(sender.send_request(get(APP, "/")).await.unwrap().status(), StatusCode::FOUND);
}

#[tokio::test]
async fn a_logout_ends_the_session_for_everybody_and_on_running_connections() {
    let world = with_browser().await;
    let _agent = world.agent().await;
    let cookie = cookies(SESSION, BEARER);
    let mut running = world.http(APP, None).await;
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket"), ("cookie", cookie.as_str())];
    let response = running.send_request(with(get(APP, "/ws"), &upgrade)).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    stream.write_all(b"there?").await.unwrap();
    stream.read_exact(&mut [0; 6]).await.unwrap();

    let mut sender = world.http(APP, None).await;
    for site in ["cross-site", "same-site"] {
        let other = with(get(APP, "/teleport-logout"), &[("cookie", &cookie), ("sec-fetch-site", site)]);
        let response = sender.send_request(other).await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{site}");
        drop(text(response).await);
    }
    assert!(world.sessions.is_live(SESSION));
    let request = with(get(APP, "/teleport-logout"), &[("cookie", &cookie), ("sec-fetch-site", "same-origin")]);
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let set = set_cookies(&response);
    let is_gone =
        |name: &str| set.iter().any(|set| set.starts_with(&format!("{name}=;")) && set.ends_with("Max-Age=0"));
    assert!(is_gone("__Host-grv_app_session") && is_gone("__Host-grv_app_session_subject"), "{set:?}");
    drop(text(response).await);
    assert!(!world.sessions.is_live(SESSION), "the auth service has ended it");
    let cut = tokio::time::timeout(std::time::Duration::from_secs(2), stream.read(&mut [0; 1])).await;
    assert!(matches!(cut, Ok(Ok(0) | Err(_))), "the stream that ran on it is cut off: {cut:?}");
    let response = sender.send_request(with(get(APP, "/"), &[("cookie", &cookie)])).await.unwrap();
    assert_eq!(response.status(), StatusCode::FOUND, "it is not used from memory");
}

#[tokio::test]
async fn a_logout_without_a_session_asks_nobody() {
    let world = with_browser().await;
    let mut sender = world.http(APP, None).await;
    // Nobody has a session: there is nothing to end, and nothing is asked.
    let asked = world.sessions.asked.load(Ordering::Relaxed);
    let response = sender.send_request(get(APP, "/teleport-logout")).await.unwrap();
    assert_eq!((response.status(), world.sessions.asked.load(Ordering::Relaxed)), (StatusCode::OK, asked));
}
