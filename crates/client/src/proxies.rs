//! Outbound proxies, chosen from the variables of the environment as the official client chooses them.

mod connect;
mod exceptions;
#[cfg(test)]
mod tests;

use crypto::SecretString;

use self::exceptions::Exceptions;

pub(crate) use self::connect::tunnel;

/// Says whether a balancer ends TLS.
const UPGRADE: &str = "TELEPORT_TLS_ROUTING_CONN_UPGRADE";

/// Says how to get past it.
const MODE: &str = "TELEPORT_TLS_ROUTING_CONN_UPGRADE_MODE";

/// Which proxies lead out of this network, and which addresses need none.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    https: Option<Proxy>,
    http: Option<Proxy>,
    exceptions: Exceptions,
    /// Whether a balancer ends TLS before the cluster's proxy, by its address or everywhere, in the order in which it was
    /// said.
    upgrades: Vec<(Option<String>, bool)>,
    /// What a connection past such a balancer is wrapped in.
    wrapping: Wrapping,
}

/// What a connection past a balancer that ends TLS is wrapped in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Wrapping {
    /// A WebSocket, which balancers know.
    #[default]
    WebSocket,
    /// Packets of our own, for balancers that pass any upgrade on and break WebSockets.
    Packets,
}

/// An HTTP proxy that makes tunnels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    /// The variable that names it, for messages.
    variable: &'static str,
    /// `host:port`.
    address: String,
    /// `user:password`.
    credentials: Option<Credentials>,
}

/// Never shown, and compared only by tests.
#[derive(Debug, Clone)]
struct Credentials(SecretString);

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose() == other.0.expose()
    }
}

impl Eq for Credentials {}

/// A variable that cannot be used. The value may hold a password and is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {variable} {reason}")]
pub struct ProxyError {
    variable: &'static str,
    reason: &'static str,
}

impl Proxies {
    /// From `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, in capitals or small letters; capitals win. And from
    /// `TELEPORT_TLS_ROUTING_CONN_UPGRADE`: `yes`, `no`, or a list of `address=yes`, for those who know what is tested
    /// otherwise; `TELEPORT_TLS_ROUTING_CONN_UPGRADE_MODE` chooses between `websocket` and `legacy`.
    ///
    /// # Errors
    /// When a proxy's address cannot be read, or is of a kind that is not supported.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ProxyError> {
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| Some((name, variable(name).filter(|value| !value.is_empty())?)))
        };
        let proxy = |names| first(names).map(|(name, value)| Proxy::parse(name, &value)).transpose();
        // A CGI program gets request headers as HTTP_* variables: a stranger's `Proxy:` header is not our proxy.
        let is_cgi = variable("REQUEST_METHOD").is_some_and(|method| !method.is_empty());
        Ok(Self {
            https: proxy(["HTTPS_PROXY", "https_proxy"])?,
            http: if is_cgi { None } else { proxy(["HTTP_PROXY", "http_proxy"])? },
            exceptions: Exceptions::parse(&first(["NO_PROXY", "no_proxy"]).unwrap_or_default().1),
            upgrades: upgrades(&variable(UPGRADE).unwrap_or_default()).filter_map(or_ignored).collect(),
            wrapping: or_ignored(wrapping(&variable(MODE).unwrap_or_default())).unwrap_or_default(),
        })
    }

    /// Whether a balancer ends TLS at `host:port`, when somebody has said.
    pub(crate) fn upgrades(&self, address: &str) -> Option<bool> {
        let of = |wanted: Option<&str>| self.upgrades.iter().rfind(|(place, _)| place.as_deref() == wanted);
        of(Some(address)).or_else(|| of(None)).map(|(_, is_needed)| *is_needed)
    }

    /// What a connection past a balancer is wrapped in.
    pub(crate) fn wrapping(&self) -> Wrapping {
        self.wrapping
    }

    /// The proxy on the way to `host:port`. This machine itself is never behind one.
    pub(crate) fn on_the_way_to(&self, address: &str) -> Option<&Proxy> {
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let proxy = self.https.as_ref().or(self.http.as_ref())?;
        (!self.exceptions.cover(&host, port)).then_some(proxy)
    }

    /// Judges the head of a proxy's answer to `CONNECT address`.
    ///
    /// # Errors
    /// Why there is no tunnel, in words for people.
    pub fn judge_answer(head: &[u8], address: &str) -> Result<(), String> {
        connect::judge(head, address)
    }

    /// How the way to an address is called in messages; nothing when it is direct.
    pub fn describe(&self, address: &str) -> Option<String> {
        self.on_the_way_to(&crate::dial::host_and_port(address)).map(Proxy::describe)
    }
}

/// What cannot be read is as good as unset, as in official tools; whoever wrote it is told.
fn or_ignored<T>(read: Result<T, ProxyError>) -> Option<T> {
    read.inspect_err(|error| tracing::warn!("{error}; it is ignored")).ok()
}

fn upgrades(text: &str) -> impl Iterator<Item = Result<(Option<String>, bool), ProxyError>> {
    let answer = |word: &str| match word.trim().to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "y" | "yes" | "on" => Some(true),
        "0" | "f" | "false" | "n" | "no" | "off" => Some(false),
        _ => None,
    };
    let entry = move |part: &str| match part.split_once('=') {
        Some((place, word)) => Some((Some(place.trim().to_owned()), answer(word)?)),
        None => Some((None, answer(part)?)),
    };
    let refused = ProxyError { variable: UPGRADE, reason: "is neither yes, no, nor a list of HOST:PORT=yes" };
    let entries = text.split([';', ',']).filter(|part| !part.trim().is_empty());
    entries.map(move |part| entry(part).ok_or_else(|| refused.clone()))
}

fn wrapping(mode: &str) -> Result<Wrapping, ProxyError> {
    match mode.to_ascii_lowercase().as_str() {
        "" | "websocket" => Ok(Wrapping::WebSocket),
        "legacy" => Ok(Wrapping::Packets),
        _ => Err(ProxyError { variable: MODE, reason: "is neither websocket nor legacy" }),
    }
}

impl Proxy {
    /// A URL, or `host:port` alone.
    fn parse(variable: &'static str, value: &str) -> Result<Self, ProxyError> {
        let refuse = |reason| ProxyError { variable, reason };
        let rest = match value.split_once("://") {
            None => value,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                return Err(refuse(
                    "names a proxy that is itself reached over TLS, which is not supported yet; write http://host:port",
                ));
            }
            Some((scheme, _)) if scheme.to_ascii_lowercase().starts_with("socks5") => {
                return Err(refuse("names a SOCKS proxy, which is not supported yet; write http://host:port"));
            }
            Some(_) => return Err(refuse("has an unknown scheme; write http://host:port")),
        };
        let rest = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        let address = with_port(place).ok_or_else(|| refuse("is no address of a proxy; write http://host:port"))?;
        let credentials =
            user.map(|user| credentials(user).ok_or_else(|| refuse("has a broken % escape"))).transpose()?;
        Ok(Self { variable, address, credentials })
    }

    fn describe(&self) -> String {
        format!("the proxy {} ({})", self.address, self.variable)
    }
}

/// Port 80 unless said otherwise; nothing when there is no host or the port is none.
fn with_port(place: &str) -> Option<String> {
    let is_host = |host: &str| {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let allowed =
            |byte: u8| byte.is_ascii_graphic() && !b"[]@\"\\<>".contains(&byte) && (inner.is_some() || byte != b':');
        let host = inner.unwrap_or(host);
        !host.is_empty() && host.bytes().all(allowed)
    };
    match place.rsplit_once(':') {
        Some((host, port)) if is_host(host) => port.parse::<u16>().ok().map(|port| format!("{host}:{port}")),
        _ if is_host(place) => Some(format!("{place}:80")),
        _ => None,
    }
}

/// `user:password` without its percent encoding; a missing password is an empty one.
fn credentials(text: &str) -> Option<Credentials> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    Some(Credentials(SecretString::new(format!("{}:{}", decode(user)?, decode(password)?))))
}

fn decode(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}
