//! The operator's settings for an issuer.

use std::{fmt, net::IpAddr};

use reqwest::Url;
use zeroize::Zeroizing;

use crate::error::Error;

/// Characters of an address.
const MAX_ADDRESS: usize = 1_000;

/// The operator's settings for an issuer.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The issuer, exactly as its own document and its tokens spell it.
    pub issuer: String,
    /// Client id at the issuer.
    pub client_id: String,
    /// Client secret; `None`: a public client, authenticated by the proof key alone.
    pub client_secret: Option<ClientSecret>,
    /// Scopes in addition to `openid`.
    pub scopes: Vec<String>,
    /// Claim with the person's name.
    pub name_claim: String,
    /// The claim with his groups; dots lead into objects.
    pub groups_claim: String,
    /// Redirect address, exactly as registered at the issuer.
    pub redirect_uri: String,
    /// The issuer may be reached without TLS although it is not on this machine.
    pub allow_http: bool,
}

/// A secret that is not shown and does not stay in memory.
#[derive(Clone)]
pub struct ClientSecret(Zeroizing<String>);

// === impl ClientSecret ===

impl ClientSecret {
    /// The secret; white space around it is an editor's, not the issuer's.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// An address of the issuer, if allowed: `https`, or `http` on this machine or where the operator
/// allows it.
pub(crate) fn address(text: &str, what: &str, allow_http: bool) -> Result<Url, Error> {
    let bad = |why: &str| {
        let shown: String = text.chars().take(200).collect();
        Error::Settings(format!("{what} is {shown:?}: {why}"))
    };
    if text.len() > MAX_ADDRESS {
        return Err(bad("too long"));
    }
    let url = Url::parse(text).map_err(|_| bad("not an address"))?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(bad("an address without user, password and fragment"));
    }
    let host = url.host_str().unwrap_or_default();
    match url.scheme() {
        "https" if !host.is_empty() => Ok(url),
        "http" if allow_http || is_loopback(host) => Ok(url),
        _ => Err(bad("must be https; http only on this machine or with login.allow_http")),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|at| at.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_need_tls_unless_local_or_allowed() {
        let may = |text: &str| address(text, "issuer", false).is_ok();
        for good in [
            "https://id.example",
            "https://id.example/realms/x",
            "http://127.0.0.1:8080",
            "http://localhost/x",
            "http://[::1]:1",
        ] {
            assert!(may(good), "{good}");
        }
        for bad in [
            "http://id.example",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "ftp://id.example",
            "https://u:p@id.example",
            "https://id.example#x",
            "id.example",
            "",
        ] {
            assert!(!may(bad), "{bad}");
        }
        assert!(address("http://id.example", "issuer", true).is_ok());
    }

    #[test]
    fn client_secrets_are_hidden_and_trimmed() {
        let secret = ClientSecret::new("hunter2\n").unwrap();
        assert_eq!((secret.reveal(), format!("{secret:?}").as_str()), ("hunter2", "***"));
        assert!(ClientSecret::new(" \n").is_none());
    }
}
