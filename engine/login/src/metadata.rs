//! The document in which an issuer describes itself (OpenID Connect Discovery 1.0 §3, §4).

use reqwest::Url;
use serde::Deserialize;

use crate::{
    error::Error,
    settings::{Settings, address},
};

/// Used fields of the metadata document.
#[derive(Debug, Clone, Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// An issuer that described itself.
#[derive(Debug, Clone)]
pub(crate) struct Metadata {
    pub(crate) authorize: Url,
    pub(crate) token: Url,
    pub(crate) keys: Url,
    /// The secret goes into the body instead of the `Authorization` header.
    pub(crate) secret_in_body: bool,
    /// Its redirects name the issuer (RFC 9207).
    pub(crate) says_who: bool,
}

/// Address of the document (§4).
pub(crate) fn place(settings: &Settings) -> Result<Url, Error> {
    let issuer = settings.issuer.trim_end_matches('/');
    let text = format!("{issuer}/.well-known/openid-configuration");
    address(&text, "login.issuer", settings.allow_http)
}

/// Parses and checks the document.
pub(crate) fn read(bytes: &[u8], settings: &Settings) -> Result<Metadata, Error> {
    let bad = |why: String| Error::BadAnswer { what: "its configuration", why };
    let found: Document = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
    // §4.3: otherwise tokens of another issuer would be accepted.
    if found.issuer != settings.issuer {
        return Err(bad(format!("it says that it is {:?}", clipped(&found.issuer))));
    }
    let of = |text: &str, what: &str| {
        address(text, what, settings.allow_http).map_err(|error| bad(error.to_string()))
    };
    let methods = found.token_endpoint_auth_methods_supported;
    let says = |methods: &[String], method: &str| methods.iter().any(|one| one == method);
    let secret_in_body = methods.is_some_and(|methods| {
        !says(&methods, "client_secret_basic") && says(&methods, "client_secret_post")
    });
    Ok(Metadata {
        authorize: of(&found.authorization_endpoint, "authorization_endpoint")?,
        token: of(&found.token_endpoint, "token_endpoint")?,
        keys: of(&found.jwks_uri, "jwks_uri")?,
        secret_in_body,
        says_who: found.authorization_response_iss_parameter_supported,
    })
}

fn clipped(text: &str) -> String {
    text.chars().take(200).collect()
}
