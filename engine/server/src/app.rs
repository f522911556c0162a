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

/// The last answers of GitHub for each repository. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct AppTokens(Arc<Mutex<HashMap<TokenKey, GrantResponse>>>);

/// The repository and the rights of a token; without rights: those that its reports need.
type TokenKey = (String, Option<Rights>);

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
    fn cached(&self, key: &TokenKey, now: Timestamp) -> Option<Result<String, String>> {
        let response = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key)?.clone();
        match response.grant {
            Ok(grant) => (now + EARLY < grant.expires_at).then_some(Ok(grant.token)),
            Err(why) => (now < response.at + PAUSE).then_some(Err(why)),
        }
    }

    fn insert(&self, key: TokenKey, response: GrantResponse) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(key, response);
    }

    /// Forgets refused tokens; `false`: there is none, or all are too young to have expired.
    fn forget(&self, repo: &str, now: Timestamp) -> bool {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |one: &GrantResponse| one.grant.is_ok() && one.at + YOUNG <= now;
        let before = tokens.len();
        tokens.retain(|(of, _), response| of != repo || !is_old(response));
        tokens.len() < before
    }
}

// === impl Credentials ===

impl Credentials {
    /// The token of a repository's App; `None`: it has no App. `rights`: those of a change; otherwise those
    /// that the reports of the repository need.
    pub(crate) async fn app_token(
        &self,
        repo: &str,
        rights: Option<Rights>,
    ) -> Result<Option<String>, Error> {
        let Some(keys) = &self.keys else { return Ok(None) };
        let text = self.store.secrets().get(keys, &hook_scope_of(repo), APP_SECRET).await?;
        let Some(app) = text.and_then(|text| serde_json::from_slice::<App>(&text).ok()) else {
            return Ok(None);
        };
        let at = self.clock.now();
        let key = (repo.to_owned(), rights);
        let token = match self.apps.cached(&key, at) {
            Some(cached) => cached,
            None => {
                let rights = match rights {
                    Some(rights) => rights,
                    None => of_reports(self.store.reports().forge_reporter(repo).await?.as_ref()),
                };
                let grant = self.request_grant(repo, &app, rights).await;
                self.apps.insert(key, GrantResponse { at, grant: grant.clone() });
                grant.map(|grant| grant.token)
            }
        };
        token.map(Some).map_err(Error::App)
    }

    async fn request_grant(&self, repo: &str, app: &App, rights: Rights) -> Result<Grant, String> {
        let key = AppKey::new(&app.id, &app.key).map_err(|error| error.to_string())?;
        let options = ClientOptions { allow_http: app.allow_http, ..ClientOptions::default() };
        let granted = key.grant(&app.api, repo, rights, self.clock, options).await;
        granted.map_err(|error| error.to_string())
    }

    /// Forgets the tokens that the forge refused; `true`: a fresh one may be accepted.
    pub(crate) fn forget_app_token(&self, repo: &str) -> bool {
        self.apps.forget(repo, self.clock.now())
    }
}

/// The rights that reports need.
fn of_reports(reporter: Option<&ForgeReporterRow>) -> Rights {
    match reporter.map(|reporter| reporter.form.as_str()) {
        None => Rights::Read,
        Some("check") => Rights::Checks,
        Some(_) => Rights::Statuses,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(repo: &str) -> TokenKey {
        (repo.to_owned(), None)
    }

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
        assert_eq!(tokens.cached(&of("a/b"), at(0)), None);
        tokens.insert(of("a/b"), response(0, Ok(("t", 3600))));
        assert_eq!(tokens.cached(&of("a/b"), at(3299)), Some(Ok("t".to_owned())));
        assert_eq!(tokens.cached(&of("a/b"), at(3300)), None);
        assert_eq!(tokens.cached(&of("c/d"), at(0)), None, "it is for one repository");
        tokens.insert(of("a/b"), response(0, Err("no")));
        assert_eq!(tokens.cached(&of("a/b"), at(29)), Some(Err("no".to_owned())));
        assert_eq!(tokens.cached(&of("a/b"), at(30)), None);
    }

    #[test]
    fn refused_tokens_are_renewed_unless_fresh() {
        let tokens = AppTokens::default();
        assert!(!tokens.forget("a/b", at(100)));
        tokens.insert(of("a/b"), response(0, Ok(("t", 3600))));
        assert!(!tokens.forget("a/b", at(59)));
        assert!(tokens.forget("a/b", at(60)));
        assert!(!tokens.forget("a/b", at(60)));
        let change = Rights::Changes { commits: true, issues: false };
        tokens.insert(("a/b".to_owned(), Some(change)), response(0, Ok(("u", 3600))));
        assert_eq!(tokens.cached(&of("a/b"), at(0)), None, "of other rights");
        assert!(!tokens.forget("c/d", at(60)) && tokens.forget("a/b", at(60)));
        assert!(!format!("{tokens:?}").contains("\"t\""));
    }
}
