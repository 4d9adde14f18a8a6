//! Ranges of addresses: `10.0.0.0/8`, `2001:db8::/32`.

use std::net::IpAddr;

/// A range of IP addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    network: u128,
    mask: u128,
    is_v4: bool,
}

impl Cidr {
    /// Reads an address and the length of its prefix.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let length = length.bytes().all(|byte| byte.is_ascii_digit()).then(|| length.parse::<u32>().ok())??;
        // A range of IPv4 addresses written as IPv6 ones is that range.
        let (address, length) = match (address.to_canonical(), length.checked_sub(96)) {
            (canonical @ IpAddr::V4(_), Some(shorter)) if address.is_ipv6() => (canonical, shorter),
            _ => (address, length),
        };
        let (bits, width) = bits(address);
        let mask = u128::MAX.checked_shl(width.checked_sub(length)?).unwrap_or(0);
        Some(Self { network: bits & mask, mask, is_v4: address.is_ipv4() })
    }

    /// Whether an address is in the range. An IPv4 address written as an IPv6 one is the same address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.is_v4 && bits(address).0 & self.mask == self.network
    }
}

fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_contain_what_they_say() {
        for (range, address, expected) in [
            ("10.0.0.0/24", "10.0.0.255", true),
            ("10.0.0.0/24", "10.0.1.0", false),
            ("10.0.0.7/24", "10.0.0.255", true),
            ("10.0.0.42/32", "10.0.0.42", true),
            ("10.0.0.42/32", "10.0.0.43", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "1.2.3.4", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::1/128", "::1", true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:169.254.0.0/112", "169.254.1.1", true),
            ("::ffff:169.254.0.0/112", "169.255.1.1", false),
            ("::ffff:0.0.0.0/96", "1.2.3.4", true),
        ] {
            let range_of = Cidr::parse(range).unwrap();
            assert_eq!(range_of.contains(address.parse().unwrap()), expected, "{address} in {range}");
        }
        for malformed in [
            "",
            "/",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::/129",
            "::ffff:1.2.3.4/129",
            "a/8",
        ] {
            assert_eq!(Cidr::parse(malformed), None, "{malformed}");
        }
    }
}
