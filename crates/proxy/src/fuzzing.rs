//! What bytes of strangers meet first, for the fuzz targets; behind a feature, so that nothing else can use it.

use std::{io, net::SocketAddr};

use http::{HeaderMap, HeaderValue, Request, header::LOCATION};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{cookies::Cookies, hygiene, names, web};

/// Whom a request is for (host, and authority as written), when it is for one host and that of its connection.
pub fn target<B>(request: &Request<B>, server_name: Option<&str>) -> Option<(String, HeaderValue)> {
    hygiene::target(request, server_name).ok().map(|target| (target.host, target.authority))
}

/// The host of an authority.
pub fn host(authority: &str) -> Option<String> {
    names::host(authority)
}

/// Whether it is certain where a request ends.
pub fn has_one_length(headers: &HeaderMap) -> bool {
    hygiene::has_one_length(headers)
}

/// Makes a client's headers those of a request to an agent; what it wants to speak from here on is returned.
pub fn to_agent(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let (upgrade, trailers) = (hygiene::upgrade(headers), hygiene::reads_trailers(headers));
    hygiene::to_agent(headers, trailers);
    upgrade
}

/// Where a client is by the word of the balancer before us.
pub fn client_behind(headers: &HeaderMap, balancer: SocketAddr) -> SocketAddr {
    hygiene::client_behind(headers, balancer)
}

/// Whether a request brings the cookies of a session.
pub fn has_session(headers: &HeaderMap) -> bool {
    Cookies::of(headers).is_some()
}

/// Where `/web/launch/<rest>` leads.
pub fn launch(rest: &str) -> Option<HeaderValue> {
    web::launch::launch(rest).headers().get(LOCATION).cloned()
}

/// The words that `/scripts/<rest>?<query>` puts into a script.
pub fn script(rest: &str, query: &str) -> Option<Vec<String>> {
    web::scripts::words(rest, query)?.ok()
}

/// Any text, as part of a query.
pub fn encoded(text: &str) -> String {
    web::launch::encoded(text)
}

/// Takes bytes out of the packets of a connection upgrade.
///
/// # Errors
/// The packets end in the middle of one, or a stream failed.
pub async fn unpack(packets: &mut (impl AsyncRead + Unpin), bytes: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    net::packets::unpack(packets, bytes).await
}

/// Takes bytes for what an SSH client sends, in the clear.
pub fn ssh(bytes: &[u8]) {
    crate::ssh::fuzzing::messages(bytes);
}
