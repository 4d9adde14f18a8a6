//! The login page. Password login is not built yet; the page says how a person and how a machine signs in.

use http::{Response, StatusCode};

use crate::{Proxy, body::Body, names, pages};

/// The page; `query` may name the application that somebody wanted.
pub(crate) fn page(proxy: &Proxy, query: &str) -> Response<Body> {
    let own = proxy.config.public_addresses.first().unwrap_or(&proxy.config.listen_address);
    let cluster = pages::escaped(&proxy.config.cluster);
    let wanted = query.split('&').find_map(|pair| pair.strip_prefix("application=")).and_then(names::host);
    // Read off the name, not off what there is: a stranger learns nothing here, and nobody is told to show a certificate
    // to a host of somebody else.
    let app = wanted.as_deref().and_then(|host| proxy.view.names().label(host)).unwrap_or("NAME");
    let url = format!("https://{app}.{}/", own.authority());
    let person = pages::command(&format!("tsh --proxy={own} -i FILE apps login {app}"));
    let user = pages::command("tctl users add YOU --roles=ROLE");
    let sign = pages::command("tctl auth sign --user=YOU --out=FILE");
    let bot = pages::command("tctl bots add BOT --roles=ROLE");
    // A system that trusts no authority of ours has to be told by what it knows the cluster.
    let authorities = proxy.view.authorities();
    let (pin, cacert) = match authorities.host.first().filter(|_| proxy.ports.web.stands_in()) {
        Some(authority) => (format!(" --ca-pin={}", authority.pin()), " --cacert DIR/teleport-host-ca.crt"),
        None => (String::new(), ""),
    };
    let start = format!("tbot start application --proxy-server={own}{pin} --token=TOKEN --app={app} --destination=DIR");
    let start = pages::command(&start);
    let curl = pages::command(&format!("curl{cacert} --cert DIR/tlscert --key DIR/key {url}"));
    let wanted = wanted.map_or_else(String::new, |host| {
        format!("<p>You were on your way to <b>{}</b>, which needs a certificate.</p>\n", pages::escaped(&host))
    });
    let content = format!(
        "<h1>Sign in to {cluster}</h1>\n{wanted}\
         <h2>As a person</h2>\n<p>An administrator makes a user and an identity file for you, and you use the file from a terminal:</p>\n\
         {user}{sign}{person}<p class=\"soft\">Signing in with a password is not supported yet.</p>\n\
         <h2>As a machine</h2>\n<p>An administrator makes a bot, and the machine runs it:</p>\n{bot}{start}\
         <p>Any program that shows the bot's <code>tlscert</code> and <code>key</code> reaches the application:</p>\n{curl}"
    );
    pages::html(StatusCode::OK, &format!("Sign in to {}", proxy.config.cluster), &content)
}
