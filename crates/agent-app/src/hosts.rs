//! Which addresses this agent may dial: an `app` resource, made by whoever may make one, must not lead to everything that
//! this machine reaches.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::{Error, form::Cidr};

/// The addresses that applications may be at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Hosts {
    /// Everywhere.
    #[default]
    Any,
    /// Only in these ranges.
    Allowed(Vec<Range>),
    /// Everywhere but in these ranges.
    Denied(Vec<Range>),
}

/// A range as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    text: String,
    cidr: Cidr,
}

/// An address that must not be dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the address {address} of the application is not allowed by {policy}")]
pub struct Blocked {
    /// The address.
    pub address: IpAddr,
    /// The denied range that it is in; empty when it is in no allowed one.
    pub prefix: String,
    /// `allowed_hosts` or `denied_hosts`.
    pub policy: &'static str,
}

impl Hosts {
    /// Reads the two lists of the configuration, of which only one may be given.
    ///
    /// # Errors
    /// Both are given, or an entry is no range of addresses.
    pub fn parse(allowed: &[String], denied: &[String]) -> Result<Self, Error> {
        match (allowed, denied) {
            ([], []) => Ok(Self::Any),
            (allowed, []) => ranges("allowed_hosts", allowed).map(Self::Allowed),
            ([], denied) => ranges("denied_hosts", denied).map(Self::Denied),
            _ => Err(Error::invalid("app_service: give allowed_hosts or denied_hosts, not both")),
        }
    }

    /// Judges all addresses of a name together: if one must not be dialled, none is. Otherwise a name with two addresses
    /// would lead to whichever answers.
    ///
    /// # Errors
    /// [`Blocked`]
    pub fn judge(&self, addresses: &[IpAddr]) -> Result<(), Blocked> {
        let blocked = |address: IpAddr, prefix: &str, policy| Blocked { address, prefix: prefix.to_owned(), policy };
        for &address in addresses {
            let reached = reached(address);
            match self {
                Self::Any => {}
                Self::Allowed(ranges) if ranges.iter().any(|range| range.cidr.contains(reached)) => {}
                Self::Allowed(_) => return Err(blocked(address, "", "allowed_hosts")),
                Self::Denied(ranges) => {
                    let is_hit = |range: &&Range| range.cidr.contains(address) || range.cidr.contains(reached);
                    if let Some(range) = ranges.iter().find(is_hit) {
                        return Err(blocked(address, &range.text, "denied_hosts"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Where a connection to this address goes: to the machine itself when the address is that of no machine.
fn reached(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

fn ranges(list: &str, texts: &[String]) -> Result<Vec<Range>, Error> {
    let range = |text: &String| {
        let whole = match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => format!("{text}/32"),
            Ok(IpAddr::V6(_)) => format!("{text}/128"),
            Err(_) => text.clone(),
        };
        let cidr = Cidr::parse(&whole).ok_or_else(|| {
            Error::invalid(format!("app_service.{list}: {text:?} is no range of addresses, write 10.0.0.0/8"))
        })?;
        Ok(Range { text: whole, cidr })
    };
    texts.iter().map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn one_bad_address_is_enough_to_dial_none() {
        for (allowed, denied, addresses, expect) in [
            (&[][..], &[][..], &["169.254.169.254"][..], None),
            (&["10.0.0.0/8"], &[], &["10.1.2.3"], None),
            (&["10.0.0.0/8"], &[], &["10.1.2.3", "127.0.0.1"], Some(("127.0.0.1", "", "allowed_hosts"))),
            (&["::1"], &[], &["::1"], None),
            (&[], &["169.254.0.0/16", "::1/128"], &["10.0.0.1"], None),
            (
                &[],
                &["169.254.0.0/16"],
                &["10.0.0.1", "169.254.169.254"],
                Some(("169.254.169.254", "169.254.0.0/16", "denied_hosts")),
            ),
            (
                &[],
                &["169.254.0.0/16"],
                &["::ffff:169.254.1.1"],
                Some(("::ffff:169.254.1.1", "169.254.0.0/16", "denied_hosts")),
            ),
            (&[], &["127.0.0.1"], &["127.0.0.1"], Some(("127.0.0.1", "127.0.0.1/32", "denied_hosts"))),
            (&[], &["127.0.0.0/8"], &["0.0.0.0"], Some(("0.0.0.0", "127.0.0.0/8", "denied_hosts"))),
            (&[], &["127.0.0.0/8"], &["::ffff:0.0.0.0"], Some(("::ffff:0.0.0.0", "127.0.0.0/8", "denied_hosts"))),
            (&[], &["0.0.0.0/8"], &["0.0.0.0"], Some(("0.0.0.0", "0.0.0.0/8", "denied_hosts"))),
            (&[], &["::1"], &["::"], Some(("::", "::1/128", "denied_hosts"))),
            (&["0.0.0.0/8"], &[], &["0.0.0.0"], Some(("0.0.0.0", "", "allowed_hosts"))),
            (&["127.0.0.0/8"], &[], &["0.0.0.0"], None),
        ] {
            let hosts = Hosts::parse(&texts(allowed), &texts(denied)).unwrap();
            let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            let found = hosts.judge(&addresses).err();
            let expect = expect.map(|(address, prefix, policy): (&str, &str, _)| Blocked {
                address: address.parse().unwrap(),
                prefix: prefix.to_owned(),
                policy,
            });
            assert_eq!(found, expect, "{addresses:?} {allowed:?} {denied:?}");
        }
    }

    #[test]
    fn lists_that_make_no_sense_are_refused() {
        assert!(Hosts::parse(&texts(&["10.0.0.0/8"]), &texts(&["::/0"])).is_err());
        assert!(Hosts::parse(&texts(&["localhost"]), &[]).is_err());
    }
}
