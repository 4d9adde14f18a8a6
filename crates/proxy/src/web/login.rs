//! The login page. Password login is not built yet; the page says how a person and how a machine signs in.

use http::{Response, StatusCode};

use crate::{Proxy, body::Body, names, pages};

/// The page; `query` may name the application that somebody wanted.
pub(crate) fn page(proxy: &Proxy, query: &str) -> Response<Body> {
    let own = proxy.config.public_addresses.first().unwrap_or(&proxy.config.listen_address).to_string();
    let (own, cluster) = (pages::escaped(&own), pages::escaped(&proxy.config.cluster));
    let wanted = query.split('&').find_map(|pair| pair.strip_prefix("application=")).and_then(names::host);
    let wanted = wanted.map_or_else(String::new, |host| {
        format!("<p>You were on your way to <b>{}</b>, which needs a certificate.</p>\n", pages::escaped(&host))
    });
    let content = format!(
        "<h1>Sign in to {cluster}</h1>\n{wanted}\
         <h2>As a person</h2>\n<p>From a terminal:</p>\n<pre>tsh login --proxy={own}\ntsh apps login NAME</pre>\n\
         <p class=\"soft\">Signing in with a password on this page is not supported yet.</p>\n\
         <h2>As a machine</h2>\n<p>An administrator makes a bot, and the machine runs it:</p>\n\
         <pre>tctl bots add NAME --roles=ROLE\ntbot start application --proxy-server={own} --app=NAME …</pre>\n\
         <p>The bot writes <code>tlscert</code> and <code>key</code>; any program that shows them reaches the application:</p>\n\
         <pre>curl --cert tlscert --key key https://NAME.{own}/</pre>"
    );
    pages::html(StatusCode::OK, &format!("Sign in to {}", proxy.config.cluster), &content)
}
