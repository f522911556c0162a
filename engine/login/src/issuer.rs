//! An issuer: where browsers are sent, and what their codes are worth.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use form_urlencoded::{Serializer, byte_serialize};
use jsonwebtoken::{DecodingKey, Header};
use plue_runtime::{Clock, clock::Mark};
use reqwest::{StatusCode, header::HeaderValue};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::{
    attempt::Attempt,
    error::Error,
    http::Http,
    id_token::{self, Expected},
    keys::Keys,
    metadata::{self, Metadata},
    person::Person,
    settings::{Settings, address},
};

/// Lifetime of the issuer's metadata.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// Pause after an issuer did not answer, during which logins fail at once.
const REST: Duration = Duration::from_secs(3);
/// Bytes of a code.
const MAX_CODE: usize = 4_096;
/// Characters of an error code (RFC 6749 §5.2).
const MAX_WORD: usize = 64;

/// An issuer. No request before the first login: a server starts while it is down.
#[derive(Debug)]
pub struct Issuer {
    settings: Settings,
    http: Http,
    clock: Clock,
    described: Mutex<Described>,
    keys: Mutex<Keys>,
}

#[derive(Debug, Default)]
struct Described {
    known: Option<(Mark, Arc<Metadata>)>,
    failed: Option<Mark>,
}

/// Response of the token endpoint (OpenID Connect Core 1.0 §3.1.3.3); the access token is not used.
#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

/// Error response of RFC 6749 §5.2.
#[derive(Deserialize)]
struct Complaint {
    error: String,
}

// === impl Issuer ===

impl Issuer {
    /// An issuer.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub fn new(settings: Settings, clock: Clock) -> Result<Self, Error> {
        metadata::place(&settings)?;
        address(&settings.redirect_uri, "the address of this server", false)?;
        if settings.client_id.is_empty() {
            return Err(Error::Settings("login.client_id is empty".to_owned()));
        }
        let http = Http::new()?;
        let (described, keys) = (Mutex::default(), Mutex::default());
        Ok(Self { settings, http, clock, described, keys })
    }

    /// Display name of the issuer.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.issuer
    }

    /// Address of the login page for a browser.
    ///
    /// # Errors
    /// [`Error`]: the issuer does not answer, or its metadata is invalid.
    pub async fn begin(&self, attempt: &Attempt) -> Result<String, Error> {
        let mut url = self.described().await?.authorize.clone();
        let others = self.settings.scopes.iter().filter(|scope| *scope != "openid");
        let mut scope = "openid".to_owned();
        others.for_each(|other| scope.extend([" ", other]));
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", &self.settings.redirect_uri)
            .append_pair("scope", &scope)
            .append_pair("state", &attempt.state)
            .append_pair("nonce", &attempt.nonce)
            .append_pair("code_challenge", &attempt.challenge())
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    /// The person of a code. `iss` is the issuer's name in the redirect (RFC 9207).
    ///
    /// # Errors
    /// [`Error`].
    pub async fn finish(
        &self,
        attempt: &Attempt,
        code: &str,
        said: Option<&str>,
    ) -> Result<Person, Error> {
        let metadata = self.described().await?;
        if said.is_some_and(|said| said != self.name()) || (metadata.says_who && said.is_none()) {
            return Err(Error::Token("the code is of another issuer"));
        }
        if code.is_empty() || code.len() > MAX_CODE {
            return Err(Error::Refused("the code is none".to_owned()));
        }
        let token = self.exchange(&metadata, attempt, code).await?;
        let header = id_token::head(&token)?;
        let key = self.key(&metadata, &header).await?;
        let expected = Expected {
            issuer: self.name(),
            client_id: &self.settings.client_id,
            nonce: &attempt.nonce,
            now: self.clock.now(),
        };
        let claims = id_token::claims(&token, &header, &key, &expected)?;
        Person::of(&claims, &self.settings)
    }

    async fn exchange(
        &self,
        metadata: &Metadata,
        attempt: &Attempt,
        code: &str,
    ) -> Result<String, Error> {
        let (form, authorization) = self.form(metadata, attempt, code)?;
        let what = "a token for a code";
        let (status, bytes) = self.http.post(what, &metadata.token, form, authorization).await?;
        if status != StatusCode::OK {
            let said = serde_json::from_slice::<Complaint>(&bytes).ok();
            if status.is_server_error() {
                let why = format!("status {}", status.as_u16());
                return Err(Error::BadAnswer { what, why });
            }
            let word = said.map(|said| word(&said.error));
            return Err(Error::Refused(
                word.unwrap_or_else(|| format!("status {}", status.as_u16())),
            ));
        }
        let tokens = serde_json::from_slice::<Tokens>(&bytes);
        let bad = |_| Error::BadAnswer { what, why: "it has no id_token".to_owned() };
        tokens.map(|tokens| tokens.id_token).map_err(bad)
    }

    /// Form of the token request (RFC 6749 §4.1.3, RFC 7636 §4.5).
    fn form(
        &self,
        metadata: &Metadata,
        attempt: &Attempt,
        code: &str,
    ) -> Result<(String, Option<HeaderValue>), Error> {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.settings.redirect_uri)
            .append_pair("code_verifier", attempt.verifier());
        let id = &self.settings.client_id;
        let mut authorization = None;
        match &self.settings.client_secret {
            Some(secret) if !metadata.secret_in_body => {
                authorization = Some(basic(id, secret.reveal())?);
            }
            Some(secret) => {
                form.append_pair("client_id", id).append_pair("client_secret", secret.reveal());
            }
            None => {
                form.append_pair("client_id", id);
            }
        }
        Ok((form.finish(), authorization))
    }

    async fn described(&self) -> Result<Arc<Metadata>, Error> {
        // Locked during the request: of concurrent logins, one requests.
        let mut described = self.described.lock().await;
        if let Some((mark, known)) = &described.known
            && self.clock.elapsed(*mark) < FRESH
        {
            return Ok(Arc::clone(known));
        }
        if described.failed.is_some_and(|mark| self.clock.elapsed(mark) < REST) {
            return Err(Error::Resting);
        }
        let place = metadata::place(&self.settings)?;
        let fetched = self.http.get("its configuration", &place).await;
        let read = fetched.and_then(|bytes| metadata::read(&bytes, &self.settings));
        let now = self.clock.mark();
        match read {
            Ok(read) => {
                let known = Arc::new(read);
                *described = Described { known: Some((now, Arc::clone(&known))), failed: None };
                Ok(known)
            }
            Err(error) => {
                described.failed = Some(now);
                Err(error)
            }
        }
    }

    /// The key of a token; fetched again, once, for one that is not known.
    async fn key(&self, metadata: &Metadata, header: &Header) -> Result<DecodingKey, Error> {
        let unknown = Error::Token("its key is not one of the issuer's");
        let mut keys = self.keys.lock().await;
        if keys.is_stale(self.clock) {
            keys.take(&self.http.get("its keys", &metadata.keys).await?, self.clock)?;
        } else if let Some(key) = keys.find(header) {
            return Ok(key);
        } else if !keys.may_search(self.clock) {
            return Err(unknown);
        } else {
            keys.take(&self.http.get("its keys", &metadata.keys).await?, self.clock)?;
        }
        keys.find(header).ok_or(unknown)
    }
}

/// RFC 6749 §2.3.1: both are encoded as in a form first.
fn basic(id: &str, secret: &str) -> Result<HeaderValue, Error> {
    let part = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = STANDARD.encode(format!("{}:{}", part(id), part(secret)));
    let value = HeaderValue::from_str(&format!("Basic {pair}"));
    let mut value = value.map_err(|_| Error::Settings("login.client_id is odd".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// An error code, without what a hostile issuer could put into a log.
#[must_use]
pub fn word(text: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.chars().filter(plain).take(MAX_WORD).collect()
}
