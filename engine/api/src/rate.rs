//! Token buckets of this API, and the key that an address has in them.

use std::net::{IpAddr, Ipv6Addr};

pub use plue_runtime::rate::{Buckets, Rate};

/// An address as a key. All 2^64 addresses of a network of IPv6 share one key, since one client may
/// have them all.
#[must_use]
pub fn key_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            format!("{}/64", Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_networks_share_one_key_mapped_ipv4_apart() {
        let key = |text: &str| key_of(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:ffff:0:2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
    }
}
