//! Knowing a forge as a GitHub App: a short word signed with the App's key, for which GitHub gives a
//! token of one hour, for one repository and no more rights than are needed.
//!
//! Must not show the key or a token, nor keep one.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use plue_runtime::Clock;
use reqwest::Method;
use ring::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use serde_json::{Value as Json, json};

use crate::{
    feedback::{
        client::ClientOptions,
        error::FeedbackError,
        http::{ApiRequest, Http},
    },
    provider::Provider,
};

/// Seconds that the word is dated back: GitHub's clock may be behind ours.
const BACK: i64 = 60;
/// Seconds that the word is good for; GitHub takes at most 600 from its own time on.
const GOOD_FOR: i64 = 9 * 60;
/// Characters of an App's id.
const MAX_ID: usize = 64;

/// A GitHub App: its id (or client id) and its private key, which is never shown. Cheap to clone.
#[derive(Clone)]
pub struct AppKey {
    id: String,
    pair: Arc<KeyPair>,
}

/// Error of an unusable key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppKeyError {
    /// The id is empty, long, or has other characters.
    #[error("the id of a GitHub App is a number or its client id")]
    Id,
    /// It is no PEM file of a private RSA key.
    #[error("the key is no private RSA key in PEM, as GitHub gives it: {0}")]
    Key(String),
}

/// Permissions of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rights {
    /// Read access to contents.
    Read,
    /// Read contents, write commit statuses and comments.
    Statuses,
    /// Read contents, write checks and comments.
    Checks,
    /// Write pull requests with their comments and labels, for the change of a step.
    Changes {
        /// Push commits as well.
        commits: bool,
        /// Write comments and labels of issues as well.
        issues: bool,
    },
}

/// A token for one repository. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// Secret text of the token.
    pub token: String,
    /// Expiry of the token.
    pub expires_at: Timestamp,
}

// === impl AppKey ===

impl AppKey {
    /// An App by its id and the PEM file of its private key (PKCS#1 or PKCS#8).
    ///
    /// # Errors
    /// One of them cannot be used.
    pub fn new(id: &str, pem: &str) -> Result<Self, AppKeyError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if id.is_empty() || id.len() > MAX_ID || !id.chars().all(plain) {
            return Err(AppKeyError::Id);
        }
        let bad = |why: &str| AppKeyError::Key(why.to_owned());
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes());
        let pair = match der.map_err(|_| bad("it has no private key"))? {
            PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
            _ => return Err(bad("it is a key of another kind")),
        };
        let pair = pair.map_err(|error| bad(&error.to_string()))?;
        Ok(Self { id: id.to_owned(), pair: Arc::new(pair) })
    }

    /// A token for a repository, with these rights. `address` is the API's.
    ///
    /// # Errors
    /// GitHub cannot be reached or refuses: the App is not installed there, has fewer rights, or
    /// the clocks differ.
    pub async fn grant(
        &self,
        address: &str,
        repository: &str,
        rights: Rights,
        clock: Clock,
        options: ClientOptions,
    ) -> Result<Grant, FeedbackError> {
        let now = clock.now();
        let word = self.word(now.as_second())?;
        let http = Http::new(Provider::GitHub, address, &word, clock, options)?;
        let send = async |ask: ApiRequest| {
            let answer = http.send(&ask).await;
            answer.map_err(|error| plain(error, now, rights))
        };
        let (owner, name) = repository.split_once('/').unwrap_or(("", repository));
        let path = ["repos", owner, name, "installation"];
        let found = send(request("the App's installation", Method::GET, &path, None)).await?;
        let installation = found.get("id").and_then(Json::as_u64);
        let what = "the App's installation";
        let installation = installation.ok_or(FeedbackError::BadAnswer { what })?.to_string();
        let body = json!({"repositories": [name], "permissions": rights.json()});
        let path = ["app", "installations", &installation, "access_tokens"];
        let given = send(request("a token of the App", Method::POST, &path, Some(body))).await?;
        let what = "a token of the App";
        let text = |key: &str| given.get(key).and_then(Json::as_str);
        let expires_at = text("expires_at").and_then(|at| at.parse().ok());
        let token = text("token").filter(|token| !token.is_empty());
        match (token, expires_at) {
            (Some(token), Some(expires_at)) => Ok(Grant { token: token.to_owned(), expires_at }),
            (_, _) => Err(FeedbackError::BadAnswer { what }),
        }
    }

    /// The signed word (RFC 7519 in the compact form of RFC 7515) by which GitHub knows the App.
    fn word(&self, now: i64) -> Result<String, FeedbackError> {
        let part = |json: Json| URL_SAFE_NO_PAD.encode(json.to_string());
        let head = part(json!({"alg": "RS256", "typ": "JWT"}));
        let claims = part(json!({"iat": now - BACK, "exp": now + GOOD_FOR, "iss": self.id}));
        let signed = format!("{head}.{claims}");
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let random = SystemRandom::new();
        let made = self.pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature);
        made.map_err(|_| FeedbackError::Unsupported {
            what: "signing with this key",
            forge: "GitHub",
        })?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

// === impl Rights ===

impl Rights {
    /// The rights as the settings of an App name them.
    fn words(self) -> String {
        let rights = self.json();
        let each = rights.as_object().into_iter().flatten().map(|(name, access)| {
            let name = name.replace('_', " ");
            let access = if access == "write" { "read and write" } else { "read" };
            format!("`{name}: {access}`")
        });
        each.collect::<Vec<_>>().join(", ")
    }

    fn json(self) -> Json {
        match self {
            Self::Read => json!({"contents": "read"}),
            Self::Statuses => {
                json!({"contents": "read", "statuses": "write", "pull_requests": "write"})
            }
            Self::Checks => {
                json!({"contents": "read", "checks": "write", "pull_requests": "write"})
            }
            Self::Changes { commits, issues } => {
                let contents = if commits { "write" } else { "read" };
                let mut rights = json!({"contents": contents, "pull_requests": "write"});
                if issues {
                    rights["issues"] = json!("write");
                }
                rights
            }
        }
    }
}

fn request(what: &'static str, method: Method, path: &[&str], body: Option<Json>) -> ApiRequest {
    let path = path.iter().map(|&part| part.to_owned()).collect();
    // An unused extra token expires by itself.
    ApiRequest { what, method, path, query: Vec::new(), body, repeatable: true }
}

/// A refusal with what is mostly behind it.
fn plain(error: FeedbackError, now: Timestamp, rights: Rights) -> FeedbackError {
    let FeedbackError::Refused { what, status, reason } = error else { return error };
    let hint = match status {
        401 => format!(
            "; is the key this App's, and the clock of this machine right? Its time is {}",
            now.strftime("%FT%TZ")
        ),
        404 => "; is the App installed for this repository?".to_owned(),
        422 => format!(
            "; plue asks for {}: grant the App these rights (docs/how-to/github-app.md lists all), and let \
             the owner of the installation accept them",
            rights.words()
        ),
        _ => String::new(),
    };
    FeedbackError::Refused { what, status, reason: reason + &hint }
}
