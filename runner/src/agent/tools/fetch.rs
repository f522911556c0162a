//! `fetch`: one GET of a page on a host that the step allows.
//!
//! The addresses of a name are looked up here, checked, and given to the client, so that the client
//! uses the checked addresses. Redirects are shown and not followed. Must not reach a private
//! address.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use tokio::{net::lookup_host, process::Command};

use super::{super::input, Outcome, Tools, shell::shown};

const MAX_URL_BYTES: usize = 4_000;
/// Bytes of an answer.
const MAX_ANSWER_BYTES: &str = "8388608";

/// The parts of an address that is fetched.
#[derive(Debug, PartialEq, Eq)]
struct Url<'a> {
    host: String,
    port: u16,
    is_tls: bool,
    /// From the first slash on.
    path: &'a str,
}

/// Fetches the URL of a call.
///
/// # Errors
/// The host is not allowed or has no public address, in words.
pub(super) async fn fetch(
    tools: &Tools,
    input: &str,
    timeout: Duration,
) -> Result<Outcome, String> {
    let input: input::Fetch = input::parse(input)?;
    let url = Url::parse(&input.url)?;
    let hosts = &tools.context.hosts;
    if !url.is_allowed(hosts) {
        let allowed = if hosts.is_empty() { "none".to_owned() } else { hosts.join(", ") };
        return Err(format!(
            "{} is not among the hosts that this step may fetch from ({allowed})",
            url.host
        ));
    }
    let found = tokio::select! {
        found = lookup_host((url.host.as_str(), url.port)) => found,
        () = tools.clock.sleep(timeout) => return Err(super::too_late(timeout)),
    };
    let found = found.map_err(|error| format!("{}: {error}", url.host))?;
    let addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    if addresses.is_empty() {
        return Err(format!("{} has no address", url.host));
    }
    if !addresses.iter().all(|address| is_public(*address)) {
        return Err(format!("{} has a private address, which is not fetched from", url.host));
    }
    let command = url.command(&addresses, timeout);
    Ok(shown(tools.run(command, timeout).await?, timeout))
}

// === impl Url ===

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} cannot be fetched: {why}");
        let plain = |c: char| c.is_ascii_graphic() && !"\\\"<>^`{|}[]".contains(c);
        if text.len() > MAX_URL_BYTES || !text.chars().all(plain) {
            return Err(
                "a URL has only ASCII characters that need no quotes, and no brackets".to_owned()
            );
        }
        let (is_tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(wrong("it begins with neither https:// nor http://")),
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) if rest.get(at..=at) == Some("/") => rest.split_at(at),
            Some(_) => return Err(wrong("write a slash in front of the question mark")),
            None => (rest, "/"),
        };
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong("its port is no number"))?),
            None => (authority, if is_tls { 443 } else { 80 }),
        };
        let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if host.is_empty() || !host.chars().all(known) {
            return Err(wrong("its host is no name"));
        }
        Ok(Self { host: host.to_ascii_lowercase(), port, is_tls, path })
    }

    fn is_allowed(&self, hosts: &[String]) -> bool {
        let usual = if self.is_tls { 443 } else { 80 };
        let with_port = format!("{}:{}", self.host, self.port);
        hosts.iter().any(|host| *host == with_port || self.port == usual && *host == self.host)
    }

    fn command(&self, addresses: &[IpAddr], timeout: Duration) -> Command {
        let Self { host, port, path, .. } = self;
        let scheme = if self.is_tls { "https" } else { "http" };
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        let mut command = Command::new("curl");
        command
            // First: no configuration of the user.
            .arg("-q")
            .args(["--silent", "--show-error", "--include", "--globoff", "--path-as-is"])
            .args(["--proto", "=http,https", "--noproxy", "*", "--max-redirs", "0"])
            .args(["--max-filesize", MAX_ANSWER_BYTES])
            .args(["--max-time", &format!("{}", timeout.as_secs().max(1))])
            .args(["--user-agent", concat!("plue/", env!("CARGO_PKG_VERSION"))])
            .args(["--resolve", &format!("{host}:{port}:{}", addresses.join(","))])
            .args(["--url", &format!("{scheme}://{host}:{port}{path}")]);
        command
    }
}

/// Whether an address is of the open internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(inner) => is_public_v4(inner),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b));
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Global unicast, but for documentation, Teredo and 6to4, which embed addresses of version 4.
    let [a, b, ..] = address.segments();
    let is_embedding =
        a == 0x2002 || (a == 0x2001 && (b == 0 || b == 0x0db8)) || (a == 0x3fff && b < 0x1000);
    (0x2000..0x4000).contains(&a) && !is_embedding
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_not_public() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.0.8",
            "240.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["1.1.1.1", "140.82.112.3", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn urls_are_taken_apart_strictly() {
        let url = Url::parse("https://Docs.rs/a?b=c#d").unwrap();
        assert_eq!(
            url,
            Url { host: "docs.rs".to_owned(), port: 443, is_tls: true, path: "/a?b=c" }
        );
        for wrong in [
            "",
            "docs.rs",
            "file:///etc/passwd",
            "https://",
            "https://a@b/",
            "https://a:b/",
            "https://[::1]/",
            "https://a\\b/",
            "https://a /",
            "https://a?b",
            "https://a:99999/",
            "ftp://a/",
            "https://ä/",
            "https://a/\n",
            "https://a/{b,c}",
            "https://a/[1-9]",
        ] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_named_hosts_are_allowed() {
        let hosts = ["docs.rs".to_owned(), "a.example:8080".to_owned()];
        let allowed = |url: &str| Url::parse(url).unwrap().is_allowed(&hosts);
        assert!(
            allowed("https://docs.rs/x")
                && allowed("http://docs.rs")
                && allowed("http://a.example:8080/")
        );
        assert!(!allowed("https://docs.rs:8443/") && !allowed("http://a.example/"));
        assert!(!allowed("https://docs.rs.evil.example/") && !allowed("https://evil-docs.rs/"));
        assert!(!Url::parse("https://docs.rs").unwrap().is_allowed(&[]));
    }
}
