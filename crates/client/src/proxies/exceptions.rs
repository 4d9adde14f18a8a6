//! `NO_PROXY`: names, addresses and networks that are reached without a proxy.

use std::net::IpAddr;

/// What `NO_PROXY` lists.
#[derive(Debug, Clone, Default)]
pub(super) struct Exceptions(Vec<Exception>);

#[derive(Debug, Clone)]
enum Exception {
    /// `*`
    Everything,
    /// `10.0.0.0/8`
    Network(IpAddr, u8),
    /// `10.1.2.3`, `[::1]:443`
    Address(IpAddr, Option<String>),
    /// `example.com` (with what is below it), `.example.com` and `*.example.com` (only what is below it).
    Name { name: String, only_below: bool, port: Option<String> },
}

impl Exceptions {
    /// Reads the list; an entry that makes no sense is passed over, as everywhere.
    pub(super) fn parse(list: &str) -> Self {
        Self(list.split(',').filter_map(|entry| Exception::parse(&entry.trim().to_ascii_lowercase())).collect())
    }

    /// Whether `host:port` is reached directly; `host` in small letters, without brackets.
    pub(super) fn cover(&self, host: &str, port: &str) -> bool {
        let address: Option<IpAddr> = host.parse().ok();
        host == "localhost"
            || address.is_some_and(|address| address.to_canonical().is_loopback())
            || self.0.iter().any(|exception| exception.covers(host, address, port))
    }
}

impl Exception {
    fn parse(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self::Everything);
        }
        if let Some((address, bits)) = entry.split_once('/') {
            let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
            let longest = if address.is_ipv4() { 32 } else { 128 };
            return (bits <= longest).then_some(Self::Network(address, bits));
        }
        if let Ok(address) = entry.parse() {
            return Some(Self::Address(address, None));
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.to_owned())),
            None => (entry, None),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = host.parse() {
            return Some(Self::Address(address, port));
        }
        let host = host.strip_prefix('*').unwrap_or(host);
        let (name, only_below) = host.strip_prefix('.').map_or((host, false), |name| (name, true));
        (!name.is_empty()).then(|| Self::Name { name: name.to_owned(), only_below, port })
    }

    fn covers(&self, host: &str, address: Option<IpAddr>, port: &str) -> bool {
        let at = |wanted: &Option<String>| wanted.as_ref().is_none_or(|wanted| wanted == port);
        match self {
            Self::Everything => true,
            Self::Network(network, bits) => address.is_some_and(|address| is_in(address, *network, *bits)),
            Self::Address(one, port) => address.is_some_and(|it| it.to_canonical() == one.to_canonical()) && at(port),
            Self::Name { name, only_below, port } => {
                let below = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                (below || (!only_below && host == name)) && at(port)
            }
        }
    }
}

fn is_in(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let bits = u32::from(bits);
    match (address.to_canonical(), network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (address.to_bits() ^ network.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            (address.to_bits() ^ network.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}
