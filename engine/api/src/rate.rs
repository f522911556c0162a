//! Token buckets of this API, and the key that an address has in them.

use std::net::{IpAddr, Ipv6Addr};

pub use plue_runtime::rate::{Buckets, Rate};

/// An address as a key. Whoever has one address of IPv6 has the 2^64 of its network as well.
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
    fn a_network_of_ipv6_is_one_key_and_a_mapped_address_is_that_of_ipv4() {
        let key = |text: &str| key_of(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:ffff:0:2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
    }
}
