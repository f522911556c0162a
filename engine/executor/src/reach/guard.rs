//! Allowed addresses: public ones, and exceptions of the operator. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Exceptions of the operator: `host`, `host:port`, `address`, `address:port` or `network/length`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard(Vec<Allowed>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Allowed {
    Host(String, Option<u16>),
    Network(IpAddr, u8),
}

/// An exception of the configuration that is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a host, an address nor a network")]
pub struct BadEntry(pub String);

// === impl Guard ===

impl Guard {
    /// Parses the exceptions of the operator.
    ///
    /// # Errors
    /// The first invalid entry.
    pub fn parse<S: AsRef<str>>(entries: &[S]) -> Result<Self, BadEntry> {
        let parsed = entries.iter().map(|entry| {
            entry_of(entry.as_ref()).ok_or_else(|| BadEntry(entry.as_ref().to_owned()))
        });
        parsed.collect::<Result<_, _>>().map(Self)
    }

    /// The same guard with an exception for one port of a host, at any address.
    #[must_use]
    pub fn with_host(&self, host: &str, port: u16) -> Self {
        let mut allowed = self.0.clone();
        allowed.push(Allowed::Host(host.to_owned(), Some(port)));
        Self(allowed)
    }

    /// Whether a connection to this address of a host is allowed.
    #[must_use]
    pub fn permits(&self, host: &str, port: u16, address: IpAddr) -> bool {
        // `db.` is the absolute form of `db` (RFC 1034 §3.1).
        let host = host.strip_suffix('.').unwrap_or(host);
        is_public(address) || self.0.iter().any(|allowed| allowed.covers(host, port, address))
    }
}

impl Allowed {
    fn covers(&self, host: &str, port: u16, address: IpAddr) -> bool {
        match self {
            Self::Host(name, at) => {
                name.eq_ignore_ascii_case(host) && at.is_none_or(|at| at == port)
            }
            Self::Network(network, length) => is_in(*network, *length, address),
        }
    }
}

fn entry_of(text: &str) -> Option<Allowed> {
    if let Some((network, length)) = text.split_once('/') {
        let network: IpAddr = network.parse().ok()?;
        let length: u8 = length.parse().ok()?;
        let most = if network.is_ipv4() { 32 } else { 128 };
        return (length <= most).then_some(Allowed::Network(network, length));
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some(Allowed::Host(address.to_string(), None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (text, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    (!host.is_empty() && host.chars().all(plain)).then(|| Allowed::Host(host.to_owned(), port))
}

fn is_in(network: IpAddr, length: u8, address: IpAddr) -> bool {
    match (network, embedded(address)) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// The IPv4 address of an IPv4-mapped IPv6 address.
fn embedded(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
    }
}

/// Whether the address is public, by the registries of special-purpose addresses.
fn is_public(address: IpAddr) -> bool {
    match embedded(address) {
        IpAddr::V4(four) => is_public_v4(four),
        IpAddr::V6(six) => is_public_v6(six),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Only 2000::/3 is allocated; it contains Teredo, 6to4 and documentation addresses.
    let given_out = first & 0xe000 == 0x2000;
    let special = (first == 0x2001 && (second < 0x0200 || second == 0x0db8))
        || first == 0x2002
        || (first == 0x3fff && second < 0x1000);
    given_out && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(entries: &[&str], host: &str, address: &str) -> bool {
        Guard::parse(entries).unwrap().permits(host, 8080, address.parse().unwrap())
    }

    #[test]
    fn only_public_addresses_are_permitted_by_default() {
        let inside = [
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "0.0.0.0",
            "0.1.2.3",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "2001:0:102:304:0:fbff:80ff:fffe",
            "fd00:ec2::254",
            "239.255.255.250",
            "240.0.0.1",
            "192.88.99.1",
            "ff05::2",
            "5f00::1",
            "2001::1",
            "2001:db8::1",
            "::7f00:1",
            "100::1",
            "fec0::1",
        ];
        for address in inside {
            assert!(!permits(&[], "h", address), "{address}");
        }
        for address in ["1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "2606:4700::1111"] {
            assert!(permits(&[], "h", address), "{address}");
        }
    }

    #[test]
    fn the_operator_allows_hosts_ports_and_networks() {
        assert!(permits(&["localhost"], "LOCALHOST", "127.0.0.1"));
        assert!(permits(&["127.0.0.1:8080"], "127.0.0.1", "127.0.0.1"));
        assert!(!permits(&["127.0.0.1:8081"], "127.0.0.1", "127.0.0.1"));
        assert!(permits(&["10.0.0.0/8"], "db", "10.255.0.1"));
        assert!(permits(&["10.0.0.0/8"], "db", "::ffff:10.255.0.1"));
        assert!(!permits(&["10.0.0.0/8"], "db", "192.168.0.1"));
        assert!(permits(&["fd00::/8"], "db", "fd12::1"));
        assert!(permits(&["[::1]:8080"], "::1", "::1"));
        assert!(!permits(&["db"], "other", "10.0.0.1"));
        assert!(permits(&["db"], "db.", "10.0.0.1"));
        assert!(!permits(&["10.0.0.0/8"], "db", "64:ff9b::a00:1"), "another way there");
    }

    #[test]
    fn an_entry_that_is_none_is_named() {
        for entry in ["10.0.0.0/33", "x/8", "host:port", "", "a b"] {
            assert_eq!(Guard::parse(&[entry]), Err(BadEntry(entry.to_owned())), "{entry}");
        }
    }
}
