//! GitHub Apps of repositories. An App's key is stored sealed; the installation tokens that GitHub issues
//! for it stay in memory until shortly before they expire.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use plue_forge::feedback::{AppKey, ClientOptions, Grant, Rights};
use plue_store::ForgeReporterRow;
use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    secrets::{Credentials, hook_scope_of},
};

/// Name of the secret that holds an App.
pub const APP_SECRET: &str = "APP";
/// A token is renewed this long before it expires.
const EARLY: Duration = Duration::from_secs(5 * 60);
/// Pause between a refused request for a token and the next one.
const PAUSE: Duration = Duration::from_secs(30);
/// A refused token younger than this is not renewed: expiry cannot be the cause.
const YOUNG: Duration = Duration::from_secs(60);

/// An App as it is stored, sealed.
#[derive(Clone, Serialize, Deserialize)]
pub struct App {
    id: String,
    key: String,
    api: String,
    #[serde(default)]
    allow_http: bool,
}

/// The last answer of GitHub for each repository. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct AppTokens(Arc<Mutex<HashMap<String, GrantResponse>>>);

#[derive(Debug, Clone)]
struct GrantResponse {
    at: Timestamp,
    grant: Result<Grant, String>,
}

// === impl App ===

impl App {
    /// An App by its id and private key, with the address of its forge's API.
    ///
    /// # Errors
    /// A message for people if id or key is malformed.
    pub fn new(id: &str, key: &str, api: &str, allow_http: bool) -> Result<Self, String> {
        AppKey::new(id, key).map_err(|error| error.to_string())?;
        let (id, key, api) = (id.to_owned(), key.trim().to_owned(), api.to_owned());
        Ok(Self { id, key, api, allow_http })
    }

    /// The JSON text that is stored sealed.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("id", &self.id).finish_non_exhaustive()
    }
}

// === impl AppTokens ===

impl AppTokens {
    /// The cached token or refusal, unless it is stale.
    fn cached(&self, repo: &str, now: Timestamp) -> Option<Result<String, String>> {
        let response = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(repo)?.clone();
        match response.grant {
            Ok(grant) => (now + EARLY < grant.expires_at).then_some(Ok(grant.token)),
            Err(why) => (now < response.at + PAUSE).then_some(Err(why)),
        }
    }

    fn insert(&self, repo: &str, response: GrantResponse) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(repo.to_owned(), response);
    }

    /// Forgets a refused token; `false`: there is none, or it is too young to have expired.
    fn forget(&self, repo: &str, now: Timestamp) -> bool {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |one: &GrantResponse| one.grant.is_ok() && one.at + YOUNG <= now;
        if !tokens.get(repo).is_some_and(is_old) {
            return false;
        }
        tokens.remove(repo).is_some()
    }
}

// === impl Credentials ===

impl Credentials {
    /// The token of a repository's App; `None`: it has no App.
    pub(crate) async fn app_token(&self, repo: &str) -> Result<Option<String>, Error> {
        let Some(keys) = &self.keys else { return Ok(None) };
        let text = self.store.secrets().get(keys, &hook_scope_of(repo), APP_SECRET).await?;
        let Some(app) = text.and_then(|text| serde_json::from_slice::<App>(&text).ok()) else {
            return Ok(None);
        };
        let at = self.clock.now();
        let token = match self.apps.cached(repo, at) {
            Some(cached) => cached,
            None => {
                let reporter = self.store.reports().forge_reporter(repo).await?;
                let grant = self.request_grant(repo, &app, reporter.as_ref()).await;
                self.apps.insert(repo, GrantResponse { at, grant: grant.clone() });
                grant.map(|grant| grant.token)
            }
        };
        token.map(Some).map_err(Error::App)
    }

    async fn request_grant(
        &self,
        repo: &str,
        app: &App,
        reporter: Option<&ForgeReporterRow>,
    ) -> Result<Grant, String> {
        let key = AppKey::new(&app.id, &app.key).map_err(|error| error.to_string())?;
        let rights = match reporter.map(|reporter| reporter.form.as_str()) {
            None => Rights::Read,
            Some("check") => Rights::Checks,
            Some(_) => Rights::Statuses,
        };
        let options = ClientOptions { allow_http: app.allow_http, ..ClientOptions::default() };
        let granted = key.grant(&app.api, repo, rights, self.clock, options).await;
        granted.map_err(|error| error.to_string())
    }

    /// Forgets a token that the forge refused; `true`: a fresh one may be accepted.
    pub(crate) fn forget_app_token(&self, repo: &str) -> bool {
        self.apps.forget(repo, self.clock.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn response(second: i64, grant: Result<(&str, i64), &str>) -> GrantResponse {
        let grant =
            grant.map(|(token, until)| Grant { token: token.into(), expires_at: at(until) });
        GrantResponse { at: at(second), grant: grant.map_err(str::to_owned) }
    }

    #[test]
    fn tokens_are_renewed_before_expiry_and_refusals_pause() {
        let tokens = AppTokens::default();
        assert_eq!(tokens.cached("a/b", at(0)), None);
        tokens.insert("a/b", response(0, Ok(("t", 3600))));
        assert_eq!(tokens.cached("a/b", at(3299)), Some(Ok("t".to_owned())));
        assert_eq!(tokens.cached("a/b", at(3300)), None);
        assert_eq!(tokens.cached("c/d", at(0)), None, "it is for one repository");
        tokens.insert("a/b", response(0, Err("no")));
        assert_eq!(tokens.cached("a/b", at(29)), Some(Err("no".to_owned())));
        assert_eq!(tokens.cached("a/b", at(30)), None);
    }

    #[test]
    fn refused_tokens_are_renewed_unless_fresh() {
        let tokens = AppTokens::default();
        assert!(!tokens.forget("a/b", at(100)));
        tokens.insert("a/b", response(0, Ok(("t", 3600))));
        assert!(!tokens.forget("a/b", at(59)));
        assert!(tokens.forget("a/b", at(60)));
        assert!(!tokens.forget("a/b", at(60)));
        assert!(!format!("{tokens:?}").contains("\"t\""));
    }
}
