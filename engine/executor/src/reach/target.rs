//! An address from an untrusted source, read strictly; and the addresses that its host has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use plue_plan::Diagnostic;
use reqwest::Url;

use super::{Guard, Unreached};
use crate::codes;

/// Characters of an address.
const MAX_CHARS: usize = 2_048;

/// An `http` or `https` address without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(Url);

// === impl Target ===

impl Target {
    /// Parses an address as browsers do (WHATWG URL), so that `0x7f.1` is 127.0.0.1 here as in the HTTP
    /// client.
    ///
    /// # Errors
    /// [`Unreached::Refused`]: invalid, of another scheme, too long, or with a user, a password or control
    /// characters.
    pub fn parse(text: &str) -> Result<Self, Unreached> {
        if text.len() > MAX_CHARS {
            return Err(bad(format!("the address has more than {MAX_CHARS} characters")));
        }
        // The parser would silently drop tabs and line ends.
        if text.chars().any(char::is_control) {
            return Err(bad("the address holds a control character".to_owned()));
        }
        let url = text.parse().map_err(|error| bad(format!("{text:?} is no address: {error}")))?;
        Self::of(url)
    }

    /// The target of a redirect.
    ///
    /// # Errors
    /// As [`Target::parse`].
    pub fn join(&self, location: &str) -> Result<Self, Unreached> {
        if location.len() > MAX_CHARS || location.chars().any(char::is_control) {
            return Err(bad("a redirect leads to something that is no address".to_owned()));
        }
        let url = self.0.join(location);
        Self::of(url.map_err(|error| bad(format!("a redirect leads to no address: {error}")))?)
    }

    fn of(url: Url) -> Result<Self, Unreached> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad(format!("{}: only http and https are spoken", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            let host = url.host_str().unwrap_or_default();
            return Err(bad(format!("the address at {host} has a user or a password in it")));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(bad("the address has no host".to_owned()));
        }
        Ok(Self(url))
    }

    /// The parsed URL.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.0
    }

    /// The host; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.0.host_str().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port, by default that of the scheme.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(80)
    }

    /// The current addresses of the host, all checked. One forbidden address refuses all; otherwise a name
    /// with two addresses would pass by chance.
    ///
    /// # Errors
    /// The guard refuses one; the name cannot be resolved.
    pub(super) async fn addresses(&self, guard: &Guard) -> Result<Vec<SocketAddr>, Unreached> {
        let (host, port) = (self.host(), self.port());
        let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            // Never resolved by a name server (RFC 6761 §6.3).
            Err(_) if is_this_machine(host) => vec![
                SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
                SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port),
            ],
            Err(_) => tokio::net::lookup_host((host, port))
                .await
                .map_err(|error| Unreached::Failed(format!("{host}: {error}")))?
                .collect(),
        };
        if found.is_empty() {
            return Err(Unreached::Failed(format!("{host} has no address")));
        }
        match found.iter().find(|at| !guard.permits(host, port, at.ip())) {
            None => Ok(found),
            Some(inside) => Err(not_public(host, inside.ip())),
        }
    }
}

fn is_this_machine(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

fn bad(message: String) -> Unreached {
    Unreached::refused(codes::BAD_ADDRESS, message)
}

fn not_public(host: &str, address: IpAddr) -> Unreached {
    let is =
        if host.parse() == Ok(address) { "is".to_owned() } else { format!("is at {address},") };
    let message = format!("{host} {is} an address that is not public");
    let mut refusal = Diagnostic::error(codes::NOT_PUBLIC, message);
    refusal.hint =
        Some("the operator can allow it with `calls.allow` in the configuration".to_owned());
    Unreached::Refused(Box::new(refusal))
}

#[cfg(test)]
mod tests;
