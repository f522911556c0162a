//! GitHub Apps that repositories are known by: kept sealed like tokens; what GitHub gives for them is
//! kept in memory only, until shortly before it ends.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use plue_forge::feedback::{AppKey, ClientOptions, Grant, Rights};
use plue_store::OutletRow;
use serde::{Deserialize, Serialize};

use crate::{error::Error, secrets::hook_scope_of, server::Server};

/// The name of the secret that holds an App.
pub const APP_SECRET: &str = "APP";
/// A token that ends so soon is not used any more.
const EARLY: Duration = Duration::from_secs(5 * 60);
/// After a refusal GitHub is left alone for so long.
const PAUSE: Duration = Duration::from_secs(30);
/// A token that is refused although it is no older is not renewed: it is not its age.
const YOUNG: Duration = Duration::from_secs(60);

/// An App as it is sealed.
#[derive(Clone, Serialize, Deserialize)]
pub struct App {
    id: String,
    key: String,
    api: String,
    #[serde(default)]
    allow_http: bool,
}

/// What GitHub has said for each repository. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct AppTokens(Arc<Mutex<HashMap<String, Said>>>);

#[derive(Debug, Clone)]
struct Said {
    at: Timestamp,
    what: Result<Grant, String>,
}

// === impl App ===

impl App {
    /// An App by its id and private key, with the address of its forge's API.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(id: &str, key: &str, api: &str, allow_http: bool) -> Result<Self, String> {
        AppKey::new(id, key).map_err(|error| error.to_string())?;
        let (id, key, api) = (id.to_owned(), key.trim().to_owned(), api.to_owned());
        Ok(Self { id, key, api, allow_http })
    }

    /// The text to seal.
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
    /// What holds now.
    fn known(&self, repo: &str, now: Timestamp) -> Option<Result<String, String>> {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(repo)?.clone();
        match said.what {
            Ok(grant) => (now + EARLY < grant.expires_at).then_some(Ok(grant.token)),
            Err(why) => (now < said.at + PAUSE).then_some(Err(why)),
        }
    }

    fn keep(&self, repo: &str, said: Said) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(repo.to_owned(), said);
    }

    /// Forgets a token that was refused; `false`: there was none, or none that could be too old.
    fn forget(&self, repo: &str, now: Timestamp) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |said: &Said| said.what.is_ok() && said.at + YOUNG <= now;
        if !kept.get(repo).is_some_and(is_old) {
            return false;
        }
        kept.remove(repo).is_some()
    }
}

// === impl Server ===

impl Server {
    /// The token of the App that a repository is known by; none: it is known by no App.
    pub(crate) async fn app_token(&self, repo: &str) -> Result<Option<String>, Error> {
        let parts = self.parts();
        let Some(keys) = &parts.keys else { return Ok(None) };
        let text = self.store().secret(keys, &hook_scope_of(repo), APP_SECRET).await?;
        let Some(app) = text.and_then(|text| serde_json::from_slice::<App>(&text).ok()) else {
            return Ok(None);
        };
        let at = parts.clock.now();
        let known = match parts.apps.known(repo, at) {
            Some(known) => known,
            None => {
                let outlet = self.store().outlet(repo).await?;
                let what = self.granted(repo, &app, outlet.as_ref()).await;
                parts.apps.keep(repo, Said { at, what: what.clone() });
                what.map(|grant| grant.token)
            }
        };
        known.map(Some).map_err(Error::App)
    }

    async fn granted(
        &self,
        repo: &str,
        app: &App,
        outlet: Option<&OutletRow>,
    ) -> Result<Grant, String> {
        let key = AppKey::new(&app.id, &app.key).map_err(|error| error.to_string())?;
        let rights = match outlet.map(|outlet| outlet.form.as_str()) {
            None => Rights::Read,
            Some("check") => Rights::Checks,
            Some(_) => Rights::Statuses,
        };
        let options = ClientOptions { allow_http: app.allow_http, ..ClientOptions::default() };
        let granted = key.grant(&app.api, repo, rights, self.parts().clock, options).await;
        granted.map_err(|error| error.to_string())
    }

    /// After a refusal: whether another token is worth a try.
    pub(crate) fn forget_app_token(&self, repo: &str) -> bool {
        let parts = self.parts();
        parts.apps.forget(repo, parts.clock.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn said(second: i64, what: Result<(&str, i64), &str>) -> Said {
        let what = what.map(|(token, until)| Grant { token: token.into(), expires_at: at(until) });
        Said { at: at(second), what: what.map_err(str::to_owned) }
    }

    #[test]
    fn a_token_is_used_until_shortly_before_its_end_and_a_refusal_for_a_moment() {
        let tokens = AppTokens::default();
        assert_eq!(tokens.known("a/b", at(0)), None);
        tokens.keep("a/b", said(0, Ok(("t", 3600))));
        assert_eq!(tokens.known("a/b", at(3299)), Some(Ok("t".to_owned())));
        assert_eq!(tokens.known("a/b", at(3300)), None);
        assert_eq!(tokens.known("c/d", at(0)), None, "it is for one repository");
        tokens.keep("a/b", said(0, Err("no")));
        assert_eq!(tokens.known("a/b", at(29)), Some(Err("no".to_owned())));
        assert_eq!(tokens.known("a/b", at(30)), None);
    }

    #[test]
    fn a_refused_token_is_renewed_once_and_not_if_it_is_new() {
        let tokens = AppTokens::default();
        assert!(!tokens.forget("a/b", at(100)));
        tokens.keep("a/b", said(0, Ok(("t", 3600))));
        assert!(!tokens.forget("a/b", at(59)));
        assert!(tokens.forget("a/b", at(60)));
        assert!(!tokens.forget("a/b", at(60)));
        assert!(!format!("{tokens:?}").contains("\"t\""));
    }
}
