//! The client address of a request: that of the connection, or the one that a trusted proxy names.
//!
//! `X-Forwarded-For` counts only on connections from a configured proxy, read from the right: each
//! proxy appends the address it was asked by, so the rightmost one that is no trusted proxy is the
//! client. `Forwarded` (RFC 7239) is not read.

use std::{
    fmt,
    net::IpAddr,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::http::HeaderMap;

/// Carries the addresses a request was forwarded for.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The proxies that may name the client of a request. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    networks: Vec<Network>,
    /// An untrusted forwarded address was logged.
    is_warned: AtomicBool,
}

/// A text that names no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address and no network such as 10.0.0.0/8")]
pub struct BadNetwork(String);

// === impl Network ===

impl Network {
    /// Whether an address is in this range.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        // Bits right of the prefix.
        let rest = |width: u32| width - u32::from(self.prefix).min(width);
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(rest(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(rest(128)).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| bad())?,
            None => longest,
        };
        if prefix > longest {
            return Err(bad());
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

// === impl Proxies ===

impl Proxies {
    /// Proxies in these networks.
    #[must_use]
    pub fn new(networks: Vec<Network>) -> Self {
        Self(Arc::new(Inner { networks, is_warned: AtomicBool::new(false) }))
    }

    /// Whether an address is that of a trusted proxy.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.networks.iter().any(|network| network.contains(address))
    }

    /// The client of a request that came over a connection from `peer`. An entry that is no address
    /// ends the list: what stands left of it was not written by a proxy we know.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        let mut lines = headers.get_all(FORWARDED_FOR).iter().peekable();
        if !self.trusts(peer) {
            if lines.peek().is_some() && !self.0.is_warned.swap(true, Ordering::Relaxed) {
                tracing::warn!(%peer, "ignored X-Forwarded-For; set `trusted_proxies` if this is a proxy");
            }
            return peer;
        }
        let texts: Vec<&str> = lines.map(|line| line.to_str().unwrap_or("?")).collect();
        let mut client = peer;
        for entry in texts.iter().rev().flat_map(|line| line.rsplit(',')) {
            let Some(address) = address_of(entry.trim()) else { break };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }
}

/// The address of an entry; some proxies write a port with it.
fn address_of(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(bare, _)| bare);
    let address = bare.unwrap_or(entry).parse().ok();
    let with_port = || entry.parse::<std::net::SocketAddrV4>().ok().map(|it| IpAddr::V4(*it.ip()));
    address.or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(trusted: &[&str], peer: &str, lines: &[&'static str]) -> String {
        let networks = trusted.iter().map(|text| text.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(line));
        }
        Proxies::new(networks).client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn networks_contain_their_addresses_only() {
        let has = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        assert!(has("10.0.0.0/8", "10.255.0.1") && !has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("10.1.2.3", "10.1.2.3") && !has("10.1.2.3", "10.1.2.4"));
        assert!(has("0.0.0.0/0", "203.0.113.9") && !has("0.0.0.0/0", "::1"));
        assert!(has("fd00::/8", "fdff::1") && !has("fd00::/8", "fe00::1"));
        assert!(has("10.0.0.0/8", "::ffff:10.0.0.1"), "a mapped address is that of IPv4");
        for bad in ["", "proxy", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0/8", "10.0.0.0/"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_trusted_proxies_name_the_client() {
        assert_eq!(client(&[], "127.0.0.1", &["198.51.100.1"]), "127.0.0.1");
        assert_eq!(client(&["10.0.0.0/8"], "192.0.2.1", &["198.51.100.1"]), "192.0.2.1");
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_client() {
        let trusted = ["10.0.0.0/8", "127.0.0.1"];
        let ask = |lines: &[&'static str]| client(&trusted, "127.0.0.1", lines);
        assert_eq!(ask(&["1.1.1.1, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(ask(&["1.1.1.1, 198.51.100.1, 10.0.0.7"]), "198.51.100.1");
        assert_eq!(ask(&["1.1.1.1", "198.51.100.1, 10.0.0.7", "10.0.0.8"]), "198.51.100.1");
        assert_eq!(ask(&["10.0.0.9, 10.0.0.8"]), "10.0.0.9", "all are proxies: the farthest");
        assert_eq!(ask(&["198.51.100.1, unknown, 10.0.0.8"]), "10.0.0.8");
        assert_eq!(ask(&["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(ask(&["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(ask(&["garbage"]), "127.0.0.1");
    }
}
