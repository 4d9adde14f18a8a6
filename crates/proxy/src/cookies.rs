//! Sessions that a browser holds by two cookies: how it gets them, and how it lets them go.
//!
//! Who has signed in on the proxy's own host has a session made there, and the browser is led to
//! `/x-teleport-auth?state=…#value=…&subject=…` on the application's host. What is behind `#` no server and no log ever
//! sees: the page that answers takes it off the address and posts it to the same path, where it is taken only beside the
//! state that this browser was given before. `/teleport-logout` ends the session, here and at the auth service.

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use crypto::{SecretString, constant_time_eq, hash::sha256};
use domain::Error;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, ORIGIN, SET_COOKIE},
};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;

use crate::{
    Proxy,
    applications::{
        Visit,
        credential::{self, Refused},
    },
    body::Body,
    hygiene::Target,
    pages,
    sessions::{Holder, Live, SessionKey},
    web::{self, launch},
};

/// Where the cookies are got.
pub(crate) const EXCHANGE: &str = "/x-teleport-auth";

/// Where they are given back.
pub(crate) const LOGOUT: &str = "/teleport-logout";

/// The session's id.
const SESSION: &str = "__Host-grv_app_session";

/// The token that only the browser has: who learns the id alone has nothing.
const SUBJECT: &str = "__Host-grv_app_session_subject";

/// What ties an exchange to the browser that began it.
const STATE: &str = "__Host-grv_app_auth_state";

/// How long an exchange may take.
const STATE_SECONDS: u32 = 300;

/// Random bytes of a state.
const STATE_BYTES: usize = 32;

/// The longest value of a cookie of ours; what is longer is none.
const LONGEST: usize = 256;

/// Sessions of cookies that nobody has shown before, asked for at a time; the others wait.
pub(crate) const GUESSES: usize = 32;

/// More than an exchange ever says.
const MOST: usize = 8 * 1024;

/// Takes the values from behind the `#`, and the whole address out of the history, before anything else happens.
const SCRIPT: &str = "\
const secrets=new URLSearchParams(location.hash.slice(1)),query=new URLSearchParams(location.search);\
history.replaceState(null,'',location.pathname);\
const say=text=>{document.getElementById('said').textContent=text};\
fetch(location.pathname,{method:'POST',credentials:'same-origin',headers:{'Content-Type':'application/json'},\
body:JSON.stringify({state_value:query.get('state'),cookie_value:secrets.get('value'),subject_cookie_value:secrets.get('subject')})})\
.then(answer=>{if(!answer.ok){return say('This sign-in was not accepted. Go back to the application and try again.')}\
let wanted=new URL(query.get('path')||'/',location.origin);\
if(wanted.origin!==location.origin){wanted=new URL('/',location.origin)}\
if(query.get('query')){wanted.search=query.get('query')}\
location.replace(wanted)}).catch(()=>say('The proxy does not answer. Try again in a moment.'));";

/// This one script runs, and speaks with this host alone.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = base64::engine::general_purpose::STANDARD.encode(sha256(SCRIPT.as_bytes()));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{hash}'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
         form-action 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// Both cookies of a session, as a browser sent them. Nothing is known of them yet.
pub(crate) struct Cookies {
    key: SessionKey,
    id: SecretString,
    bearer: [u8; 32],
}

impl Cookies {
    /// None without both.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        Self::new(cookie(headers, SESSION)?, cookie(headers, SUBJECT)?)
    }

    fn new(id: &str, bearer: &str) -> Option<Self> {
        let is_whole = [id, bearer].iter().all(|part| (1..=LONGEST).contains(&part.len()));
        is_whole.then(|| Self {
            key: sha256(id.as_bytes()),
            id: SecretString::new(id.to_owned()),
            bearer: sha256(bearer.as_bytes()),
        })
    }

    /// The live session that they are for, when that is one with `app` that a browser holds.
    pub(crate) async fn session(&self, proxy: &Proxy, app: &str) -> Result<Arc<Live>, Refused> {
        // Anybody can invent cookies, and each that is new is a question to the auth service.
        let _turn = match proxy.sessions.knows(&self.key) {
            true => None,
            false => proxy.guesses.acquire().await.ok(),
        };
        let live = proxy.sessions.get(&self.key, &self.id).await.map_err(Refused::NoSession)?;
        let holds = match &live.session.holder {
            Holder::Bearer(expect) => constant_time_eq(expect, &self.bearer),
            Holder::ClientKey(_) => false,
        };
        if holds && live.session.app == app {
            Ok(live)
        } else {
            tracing::warn!(app, "cookies do not fit the application session that they name");
            Err(Refused::Mismatch)
        }
    }

    /// The session's id, to end it.
    pub(crate) fn id(&self) -> (&SessionKey, &SecretString) {
        (&self.key, &self.id)
    }
}

/// The value of a cookie; none when it is there twice, for then somebody else has set one of them.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut values = texts
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(found, _)| *found == name)
        .map(|(_, value)| value);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// Answers [`EXCHANGE`] on an application's host.
pub(crate) async fn exchange(proxy: &Arc<Proxy>, target: &Target, request: Request<Incoming>) -> Response<Body> {
    match *request.method() {
        Method::GET => begin(proxy, target, request.uri().query().unwrap_or_default()),
        Method::POST => {
            let (state, mut answer) = match finish(proxy, target, request).await {
                Ok((id, bearer)) => {
                    let mut answer = pages::answer(StatusCode::OK, "application/json", "{}");
                    set(&mut answer, SESSION, id.expose(), None);
                    set(&mut answer, SUBJECT, bearer.expose(), None);
                    ("kept", answer)
                }
                Err((status, why)) => {
                    tracing::info!(host = target.host, why, "a browser's session was not taken");
                    ("refused", pages::plain(status, "this sign-in was not accepted\n"))
                }
            };
            tracing::debug!(host = target.host, state, "an exchange ended");
            // Good for one try.
            set(&mut answer, STATE, "", Some(0));
            answer
        }
        _ => pages::plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and POST are answered here\n"),
    }
}

fn begin(proxy: &Arc<Proxy>, target: &Target, query: &str) -> Response<Body> {
    if web::value(query, "state").is_some_and(|state| !state.is_empty()) {
        let content = format!(
            "<h1>Signing in</h1>\n<p id=\"said\">One moment …</p>\n\
             <noscript><p>This page hands your session over to the application, and needs JavaScript for it.</p></noscript>\n\
             <script>{SCRIPT}</script>"
        );
        let mut page = pages::html(StatusCode::OK, "Signing in", &content);
        page.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY.clone());
        return page;
    }
    let state = proxy.ports.random.hex(STATE_BYTES);
    let wanted = |name| web::value(query, name).filter(|value| is_encoded(value)).unwrap_or_default();
    let more = format!("state={state}&path={}&query={}", wanted("path"), wanted("query"));
    let mut answer = launch::to_launch(proxy, &target.host, &more);
    set(&mut answer, STATE, &state, Some(STATE_SECONDS));
    answer
}

fn is_encoded(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte))
}

/// What the page posts.
#[derive(Deserialize)]
struct Posted {
    #[serde(default)]
    state_value: String,
    #[serde(default)]
    cookie_value: String,
    #[serde(default)]
    subject_cookie_value: String,
}

type Kept = (SecretString, SecretString);

async fn finish(
    proxy: &Arc<Proxy>,
    target: &Target,
    request: Request<Incoming>,
) -> Result<Kept, (StatusCode, &'static str)> {
    let (parts, body) = request.into_parts();
    let header = |name: &HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let origin = header(&ORIGIN).strip_prefix("https://").unwrap_or_default();
    if !origin.as_bytes().eq_ignore_ascii_case(target.authority.as_bytes()) {
        return Err((StatusCode::FORBIDDEN, "it came from another origin"));
    }
    // Other pages cannot send this type unless we let them (Fetch §4.8).
    if header(&CONTENT_TYPE).split(';').next().unwrap_or_default().trim() != "application/json" {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "it was no JSON"));
    }
    let begun = cookie(&parts.headers, STATE).unwrap_or_default().to_owned();
    let unreadable = (StatusCode::BAD_REQUEST, "its body cannot be read");
    let limit = proxy.config.limits.header_deadline;
    let body = proxy.ports.clock.timeout(limit, Limited::new(body, MOST).collect());
    let body = body.await.map_err(|_| unreadable)?.map_err(|_| unreadable)?.to_bytes();
    let posted: Posted = serde_json::from_slice(&body).map_err(|_| unreadable)?;
    if begun.is_empty() || !constant_time_eq(begun.as_bytes(), posted.state_value.as_bytes()) {
        return Err((StatusCode::FORBIDDEN, "this browser did not begin it"));
    }
    let refused = |why| (StatusCode::FORBIDDEN, why);
    let app = proxy.view.app_of(&target.host).ok_or(refused("there is no such application"))?;
    let cookies = Cookies::new(&posted.cookie_value, &posted.subject_cookie_value);
    let cookies = cookies.ok_or(refused("it has no session"))?;
    match cookies.session(proxy, &app).await {
        Ok(_) => Ok((SecretString::new(posted.cookie_value), SecretString::new(posted.subject_cookie_value))),
        Err(refused) if refused.silence().is_some() => {
            Err((StatusCode::SERVICE_UNAVAILABLE, "the auth service cannot be asked"))
        }
        Err(_) => Err(refused("the session is not this application's, or has ended")),
    }
}

/// Answers [`LOGOUT`]: the session of the cookies, or of the certificate, ends.
pub(crate) async fn logout(
    proxy: &Arc<Proxy>,
    visit: &Visit,
    target: &Target,
    request: &Request<Incoming>,
) -> Response<Body> {
    const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return pages::plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
    }
    // Another application below the same name is the same site.
    if request.headers().get_all(FETCH_SITE).iter().any(|site| site != "same-origin" && site != "none") {
        return pages::plain(StatusCode::FORBIDDEN, "another page wants to sign you out; open this address yourself\n");
    }
    if let Some(app) = proxy.view.app_of(&target.host)
        && let Err(error) = end(proxy, visit, &app, request.headers()).await
    {
        tracing::warn!(app, %error, "a session could not be ended");
        let text = "the session could not be ended: the auth service does not answer; try again in a moment\n";
        return pages::plain(StatusCode::SERVICE_UNAVAILABLE, text);
    }
    let content = "<h1>Signed out</h1>\n<p>Your session with this application has ended.</p>";
    let mut answer = pages::html(StatusCode::OK, "Signed out", content);
    for name in [SESSION, SUBJECT, STATE] {
        set(&mut answer, name, "", Some(0));
    }
    answer
}

/// Ends the session of a request, if it has one.
async fn end(proxy: &Proxy, visit: &Visit, app: &str, headers: &HeaderMap) -> Result<(), Error> {
    let (credential, live) = match credential::session(proxy, visit, app, headers).await {
        Ok(found) => found,
        Err(refused) => return refused.silence().map_or(Ok(()), |error| Err(error.clone())),
    };
    let (key, id) = credential.id();
    proxy.sessions.end(key, id).await?;
    proxy.pool.clear(Some(key));
    tracing::info!(app, user = live.session.user, "a session was ended by its user");
    Ok(())
}

/// A cookie that no script reads, that goes to this host only, and along with no request that another site makes but a
/// link that somebody follows. Without an age it ends with the browser.
fn set(answer: &mut Response<Body>, name: &str, value: &str, seconds: Option<u32>) {
    let age = seconds.map_or_else(String::new, |seconds| format!("; Max-Age={seconds}"));
    let cookie = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{age}");
    // The auth service has found a session by this value, or it is ours.
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_that_is_there_twice_is_none() {
        let headers = |values: &[&'static str]| {
            values.iter().map(|value| (COOKIE, HeaderValue::from_static(value))).collect::<HeaderMap>()
        };
        let both = headers(&["a=1; __Host-grv_app_session=id", "__Host-grv_app_session_subject=bearer"]);
        assert_eq!(cookie(&both, SESSION), Some("id"));
        assert_eq!(Cookies::of(&both).map(|cookies| cookies.bearer), Some(sha256(b"bearer")));
        let twice = headers(&["__Host-grv_app_session=mine; __Host-grv_app_session=yours"]);
        assert_eq!(cookie(&twice, SESSION), None);
        assert!(Cookies::of(&headers(&["__Host-grv_app_session=id"])).is_none(), "the id alone is nothing");
        assert!(Cookies::of(&headers(&["__Host-grv_app_session=id; __Host-grv_app_session_subject="])).is_none());
    }
}
