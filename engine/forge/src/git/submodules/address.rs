//! Addresses of other repositories that a commit names: submodules and Git LFS. Pure.
//!
//! A commit is foreign input. An address is rebuilt from its parts here, so that nothing of it reaches git as
//! an option, another transport, a path with `..` or a credential.

use std::path::{Path, PathBuf};

/// Characters of an address.
const MAX_CHARS: usize = 2_048;

/// A repository that a commit names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Address on a server.
    Web {
        /// `https://host/path`, or `http://` where the watched repository has it; without user and password.
        url: String,
        /// Host name, of an IPv6 address without brackets.
        host: String,
        /// Port, also where the address has none.
        port: u16,
        /// Scheme, host and port are those of the watched repository, whose credential counts there.
        is_own: bool,
    },
    /// A folder of this machine; only where the watched repository is one.
    Folder(PathBuf),
}

/// The parts of an `http` address.
struct Web<'a> {
    scheme: &'a str,
    host: String,
    port: Option<u16>,
    path: &'a str,
}

// === impl Address ===

impl Address {
    /// Reads an address that a commit of `parent` names. `watched` is the address of the watched repository:
    /// `http`, the forge's SSH addresses and folders are read only as it allows. `parent` is one of ours.
    ///
    /// # Errors
    /// The reason in words, without a password.
    pub fn read(text: &str, parent: &str, watched: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > MAX_CHARS {
            return Err(format!("its address is empty or longer than {MAX_CHARS} characters"));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err("its address has forbidden characters".to_owned());
        }
        if text.starts_with('-') || text.contains("::") && !text.contains("://") {
            return Err("its address is none that plue fetches from".to_owned());
        }
        if text.starts_with("./") || text.starts_with("../") {
            return relative(text, parent, watched);
        }
        if let Some(path) =
            text.strip_prefix("file://").or(Some(text)).filter(|path| path.starts_with('/'))
        {
            return folder(path, watched);
        }
        match text.split_once("://") {
            Some((scheme @ ("https" | "http"), _)) => web(text, scheme, watched),
            Some(("ssh" | "git+ssh" | "ssh+git", rest)) => {
                let (place, path) = rest.split_once('/').ok_or("its address has no path")?;
                ssh(place.split(':').next().unwrap_or_default(), path, watched)
            }
            Some((scheme, _)) => {
                Err(format!("plue does not fetch from {}: addresses", shown(scheme)))
            }
            None => match text.split_once(':') {
                Some((place, path)) if !place.contains('/') => ssh(place, path, watched),
                Some(_) | None => {
                    Err("its address is none; a relative one begins with ./ or ../".to_owned())
                }
            },
        }
    }

    /// The address as Git takes it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Web { url, .. } => url.clone(),
            Self::Folder(path) => path.display().to_string(),
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(20).collect()
}

/// `../` and `./` against the address of the repository that names it.
fn relative(text: &str, parent: &str, watched: &str) -> Result<Address, String> {
    let parent = parent.trim_end_matches('/');
    let (start, path) = match parent.split_once("://") {
        Some((scheme, rest)) if scheme != "file" => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            (format!("{scheme}://{host}"), path)
        }
        Some((_, path)) => (String::new(), path),
        None => (String::new(), parent),
    };
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let mut rest = text;
    loop {
        if let Some(more) = rest.strip_prefix("../") {
            if parts.pop().is_none() {
                return Err("its relative address leads out of the host".to_owned());
            }
            rest = more;
        } else if let Some(more) = rest.strip_prefix("./") {
            rest = more;
        } else {
            break;
        }
    }
    parts.extend(rest.trim_end_matches('/').split('/'));
    let whole = format!("{start}/{}", parts.join("/"));
    match start.split_once("://") {
        Some((scheme, _)) => web(&whole, scheme, watched),
        None => folder(&whole, watched),
    }
}

fn folder(path: &str, watched: &str) -> Result<Address, String> {
    if !is_folder(watched) {
        return Err("it is a path, and the repository is not on this machine".to_owned());
    }
    plain(path)?;
    Ok(Address::Folder(Path::new(path.trim_end_matches('/')).to_owned()))
}

fn is_folder(url: &str) -> bool {
    url.starts_with('/') || url.starts_with("file:///")
}

/// An SSH address of the watched repository's host, as its `http` address; there are no keys for others.
fn ssh(place: &str, path: &str, watched: &str) -> Result<Address, String> {
    let host = place.rsplit('@').next().unwrap_or_default();
    let own = parts(watched).filter(|own| own.host.eq_ignore_ascii_case(host));
    let Some(own) = own else {
        return Err("it has an SSH address of another host; use https:// in .gitmodules".to_owned());
    };
    let port = own.port.map(|port| format!(":{port}")).unwrap_or_default();
    let at = if own.host.contains(':') { format!("[{}]", own.host) } else { own.host.clone() };
    let url = format!("{}://{at}{port}/{}", own.scheme, path.trim_start_matches('/'));
    web(&url, own.scheme, watched)
}

fn web(text: &str, scheme: &str, watched: &str) -> Result<Address, String> {
    let found = parts(text).ok_or("its address has no proper host")?;
    let own = parts(watched);
    let is_own = own.is_some_and(|own| {
        (own.scheme, &own.host, port(&own)) == (found.scheme, &found.host, port(&found))
    });
    if scheme == "http" && !is_own {
        return Err("its address is not encrypted; use https:// in .gitmodules".to_owned());
    }
    plain(found.path)?;
    let shown_port = found.port.map(|port| format!(":{port}")).unwrap_or_default();
    let at =
        if found.host.contains(':') { format!("[{}]", found.host) } else { found.host.clone() };
    let path = found.path.trim_matches('/');
    let url = format!("{scheme}://{at}{shown_port}/{path}");
    Ok(Address::Web { url, port: port(&found), host: found.host, is_own })
}

fn port(web: &Web<'_>) -> u16 {
    web.port.unwrap_or(if web.scheme == "https" { 443 } else { 80 })
}

/// The parts of an `http` address; `None` also for one with a password.
fn parts(url: &str) -> Option<Web<'_>> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = ["https", "http"].into_iter().find(|known| *known == scheme)?;
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let place = match place.split_once('@') {
        // A bare name is no credential, and is left out.
        Some((user, place)) if !user.contains(':') => place,
        Some(_) => return None,
        None => place,
    };
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((six, after)) => {
            let _address: std::net::Ipv6Addr = six.parse().ok()?;
            (six, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_';
    let is_name = !host.is_empty() && !host.starts_with(['-', '.']) && host.chars().all(is_plain);
    if !(is_name || host.contains(':')) {
        return None;
    }
    let port = match port {
        Some(text) => Some(text.parse().ok().filter(|port: &u16| *port != 0)?),
        None => None,
    };
    Some(Web { scheme, host: host.to_ascii_lowercase(), port, path })
}

/// Refuses paths that do not lead downwards.
fn plain(path: &str) -> Result<(), String> {
    let path = path.trim_matches('/');
    let is_fine = |part: &str| !matches!(part, "" | "." | "..") && !part.starts_with('-');
    if path.contains(['?', '#']) || !path.split('/').all(is_fine) {
        return Err("its address has a path that plue does not follow".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WATCHED: &str = "https://forge.example/acme/app.git";

    fn url(text: &str, parent: &str, watched: &str) -> String {
        match Address::read(text, parent, watched) {
            Ok(Address::Web { url, is_own, .. }) => {
                format!("{url}{}", if is_own { " own" } else { "" })
            }
            Ok(Address::Folder(path)) => path.display().to_string(),
            Err(why) => format!("refused: {why}"),
        }
    }

    #[test]
    fn addresses_are_resolved_against_their_repository() {
        let lan = "http://10.0.0.7:3000/acme/app";
        for (text, parent, watched, expected) in [
            ("../lib.git", WATCHED, WATCHED, "https://forge.example/acme/lib.git own"),
            ("../../other/lib", WATCHED, WATCHED, "https://forge.example/other/lib own"),
            ("./../lib.git/", WATCHED, WATCHED, "https://forge.example/acme/lib.git own"),
            ("../deep", "https://else.example/a/b", WATCHED, "https://else.example/a/deep"),
            (
                "https://Forge.Example:443/a/b",
                WATCHED,
                WATCHED,
                "https://forge.example:443/a/b own",
            ),
            ("https://forge.example:8443/a/b", WATCHED, WATCHED, "https://forge.example:8443/a/b"),
            ("https://git@github.com/a/b.git", WATCHED, WATCHED, "https://github.com/a/b.git"),
            (
                "git@forge.example:acme/lib.git",
                WATCHED,
                WATCHED,
                "https://forge.example/acme/lib.git own",
            ),
            ("ssh://git@forge.example:22/a/b", WATCHED, WATCHED, "https://forge.example/a/b own"),
            ("git@10.0.0.7:acme/lib.git", lan, lan, "http://10.0.0.7:3000/acme/lib.git own"),
            ("../lib", lan, lan, "http://10.0.0.7:3000/acme/lib own"),
            ("https://[2606:4700::1]:8443/a", WATCHED, WATCHED, "https://[2606:4700::1]:8443/a"),
            ("../lib.git", "/srv/git/app.git", "/srv/git/app.git", "/srv/git/lib.git"),
            ("file:///srv/git/lib.git", "/srv/git/app.git", "/srv/git/app.git", "/srv/git/lib.git"),
        ] {
            assert_eq!(url(text, parent, watched), expected, "{text} of {parent}");
        }
    }

    #[test]
    fn hostile_addresses_are_refused() {
        let long = format!("https://x/{}", "a".repeat(MAX_CHARS));
        for text in [
            "",
            "-u/x",
            "--upload-pack=touch /tmp/x",
            "ext::sh -c id",
            "ext::id",
            "fd::17",
            "git://host/r",
            "ftp://host/r",
            "http://forge.example/acme/lib",
            "http://169.254.169.254/latest",
            "https://user:pw@forge.example/a",
            "https://forge.example@evil:pw@x/a",
            "https:///a/b",
            "https://-oProxyCommand=id/a",
            "https://ho%73t/a",
            "https://host:0/a",
            "https://host:99999/a",
            "https://forge.example/a/../../b",
            "https://forge.example/a?b",
            "https://forge.example/a#b",
            "https://forge.example/",
            "https://forge.example/a//b",
            "../../../../etc",
            "../..",
            "../a/../../b",
            "git@other.example:a/b",
            "git@forge.example:../b",
            "ssh://-oProxyCommand=id/x",
            "/etc",
            "file:///etc",
            "lib",
            "a\nb",
            "C:\\x",
            &long,
        ] {
            let refused = url(text, WATCHED, WATCHED);
            assert!(refused.starts_with("refused: "), "{text}: {refused}");
            assert!(!refused.contains("pw"), "{refused}");
        }
        for text in ["/srv/git/../../etc", "../../../../..", "file://host/x", "/srv/-x"] {
            let refused = url(text, "/srv/git/app.git", "/srv/git/app.git");
            assert!(refused.starts_with("refused: "), "{text}: {refused}");
        }
    }
}
