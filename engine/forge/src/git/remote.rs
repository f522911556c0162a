//! Address and credential of a mirror's source.

use std::{fmt, net::IpAddr, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::git::{
    commit_id::{CommitId, check_ref},
    error::GitError,
    mirror::loose,
};

/// The transports that a remote may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Https,
    Http,
    File,
}

/// A repository somewhere else. Its credential is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Remote {
    url: String,
    transport: Transport,
    credential: Option<Credential>,
    /// A commit named it: no redirect is followed.
    is_foreign: bool,
    /// `host:port:address,…`: the addresses that were judged, for no others.
    pinned: Option<String>,
}

/// Token for the forge, with its user name. GitHub wants `x-access-token`, GitLab `oauth2`; Gitea
/// and Forgejo take any.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    user: String,
    token: String,
}

// === impl Remote ===

impl Remote {
    /// A remote by its address: `https://host/path`, or an absolute path on this machine.
    ///
    /// # Errors
    /// Any other address, also one with a user, a password or control characters in it.
    pub fn new(url: &str, credential: Option<Credential>) -> Result<Self, GitError> {
        Self::with(url, credential, false)
    }

    /// As [`Remote::new`], also with `http://` for a forge inside a trusted network.
    ///
    /// # Errors
    /// As [`Remote::new`].
    pub fn new_allowing_http(url: &str, credential: Option<Credential>) -> Result<Self, GitError> {
        Self::with(url, credential, true)
    }

    fn with(url: &str, credential: Option<Credential>, http: bool) -> Result<Self, GitError> {
        let shown: String =
            url.split('@').next_back().unwrap_or_default().chars().take(200).collect();
        let refuse = |why: &str| Err(GitError::BadRemote(format!("{why}: {shown}")));
        if url.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return refuse("the address has forbidden characters");
        }
        let (transport, rest) = match url.split_once("://") {
            Some(("https", rest)) => (Transport::Https, rest),
            Some(("http", rest)) if http => (Transport::Http, rest),
            Some(("file", path)) if path.starts_with('/') => (Transport::File, ""),
            None if url.starts_with('/') => (Transport::File, ""),
            Some(_) | None => return refuse("plue does not fetch from this kind of address"),
        };
        let host = rest.split('/').next().unwrap_or_default();
        if transport != Transport::File && (host.is_empty() || host.starts_with('-')) {
            return refuse("the address has no host");
        }
        if host.contains('@') {
            return refuse("the address holds a credential; give it apart");
        }
        let url = url.to_owned();
        Ok(Self { url, transport, credential, is_foreign: false, pinned: None })
    }

    /// The same remote without redirects: a commit named it, and nothing of it may lead elsewhere.
    #[must_use]
    pub fn without_redirects(self) -> Self {
        Self { is_foreign: true, ..self }
    }

    /// The same remote at these addresses of its host only, without a proxy and without redirects.
    #[must_use]
    pub fn pinned(self, host: &str, port: u16, addresses: &[IpAddr]) -> Self {
        let address = |one: &IpAddr| match one {
            IpAddr::V4(four) => four.to_string(),
            IpAddr::V6(six) => format!("[{six}]"),
        };
        let all: Vec<String> = addresses.iter().map(address).collect();
        // An address in the place of a name is not looked up.
        let pinned = match host.parse::<IpAddr>() {
            Ok(_) => String::new(),
            Err(_) => format!("{host}:{port}:{}", all.join(",")),
        };
        Self { is_foreign: true, pinned: Some(pinned), ..self }
    }

    /// Settings of git's that hold it to its own address.
    pub(super) fn bounds(&self) -> Vec<(&'static str, &str)> {
        let mut bounds = Vec::new();
        if self.is_foreign {
            bounds.push(("http.followRedirects", "false"));
        }
        if let Some(pinned) = &self.pinned {
            bounds.extend([("http.proxy", ""), ("http.curloptResolve", pinned.as_str())]);
        }
        bounds
    }

    /// Address of the repository.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// True if the repository is on this machine.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        matches!(self.transport, Transport::File)
    }

    /// The head of a branch, if that is a matter of looking: the repository is on this machine, and the
    /// branch is in a file of its own.
    #[must_use]
    pub fn local_head(&self, branch: &str) -> Option<CommitId> {
        let name = format!("refs/heads/{branch}");
        let name = check_ref(&name).ok().filter(|_| self.is_local())?;
        let folder = Path::new(self.url.strip_prefix("file://").unwrap_or(&self.url));
        loose(folder, name).or_else(|| loose(&folder.join(".git"), name))
    }

    /// The only protocols that git may use for it.
    pub(super) const fn protocols(&self) -> &'static str {
        match self.transport {
            Transport::Https => "https",
            Transport::Http => "http:https",
            Transport::File => "file",
        }
    }

    /// A setting of git's that carries the credential, for this host only.
    pub(super) fn setting(&self) -> Option<(String, String)> {
        let credential = self.credential.as_ref()?;
        let (scheme, rest) = self.url.split_once("://")?;
        let host = rest.split('/').next()?;
        let key = format!("http.{scheme}://{host}/.extraHeader");
        Some((key, format!("Authorization: {}", credential.basic())))
    }

    /// A text without the credential, should git repeat it.
    pub(super) fn redact(&self, text: &str) -> String {
        let Some(credential) = &self.credential else { return text.to_owned() };
        let mut text = text.replace(&credential.token, "…");
        if let Some((_, header)) = self.setting()
            && let Some((_, pair)) = header.rsplit_once(' ')
        {
            text = text.replace(pair, "…");
        }
        text
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("url", &self.url).finish_non_exhaustive()
    }
}

// === impl Credential ===

impl Credential {
    /// A token with the name that goes with it.
    ///
    /// # Errors
    /// An empty token, a colon in the name, or control characters in either.
    pub fn new(user: &str, token: &str) -> Result<Self, GitError> {
        let plain = |text: &str| !text.chars().any(char::is_control);
        if token.is_empty() || user.contains(':') || !plain(user) || !plain(token) {
            return Err(GitError::BadRemote("the credential is empty or malformed".to_owned()));
        }
        Ok(Self { user: user.to_owned(), token: token.to_owned() })
    }

    /// The value of the header `Authorization`.
    #[must_use]
    pub fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.token)))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_without_surprises_are_fetched_from() {
        for url in ["https://github.com/o/r.git", "/srv/git/r.git", "file:///srv/git/r.git"] {
            assert!(Remote::new(url, None).is_ok(), "{url}");
        }
        for url in [
            "ext::sh -c id",
            "ext::sh%20-c%20id",
            "git://host/r",
            "ssh://host/r",
            "git@host:o/r.git",
            "http://host/r",
            "https://user:pw@host/r",
            "https://host/r\n",
            "https:///r",
            "https://-oProxyCommand=id/r",
            "--upload-pack=id",
            "../r",
            "",
        ] {
            assert!(Remote::new(url, None).is_err(), "{url}");
        }
        assert!(Remote::new_allowing_http("http://forge.lan/o/r", None).is_ok());
    }

    #[test]
    fn credentials_are_host_bound_and_never_shown() {
        let credential = Credential::new("x-access-token", "s3cret").unwrap();
        let remote = Remote::new("https://github.com/o/r.git", Some(credential)).unwrap();
        let (key, value) = remote.setting().unwrap();
        assert_eq!(key, "http.https://github.com/.extraHeader");
        assert_eq!(value, "Authorization: Basic eC1hY2Nlc3MtdG9rZW46czNjcmV0");
        assert!(!format!("{remote:?}").contains("s3cret"));
        assert_eq!(remote.redact(&format!("s3cret {value}")), "… Authorization: Basic …");
    }

    #[test]
    fn foreign_remotes_are_held_to_judged_addresses() {
        let remote = || Remote::new("https://h.example/a", None).unwrap();
        assert_eq!(remote().bounds(), []);
        assert_eq!(remote().without_redirects().bounds(), [("http.followRedirects", "false")]);
        let addresses = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let pinned = remote().pinned("h.example", 443, &addresses);
        assert_eq!(
            pinned.bounds(),
            [
                ("http.followRedirects", "false"),
                ("http.proxy", ""),
                ("http.curloptResolve", "h.example:443:192.0.2.1,[2001:db8::1]"),
            ]
        );
        let literal = remote().pinned("192.0.2.1", 443, &addresses);
        assert_eq!(literal.bounds()[2], ("http.curloptResolve", ""));
    }

    #[test]
    fn addresses_with_passwords_are_refused_unquoted() {
        let refused = Remote::new("https://user:pw@host/r", None).unwrap_err();
        assert!(!refused.to_string().contains("pw"), "{refused}");
    }
}
