//! The forge reporter of a repository: the API that receives commit statuses and comments. Its address is
//! derived from the address of the repository.

use plue_api::commands::ReportForm;
use plue_forge::{
    Client, Provider,
    feedback::{ClientOptions, Rights},
};
use plue_store::{ForgeReporterRow, RepoRow};

use crate::{app::App, error::Error, secrets::Credentials};

/// Attempts of one call to the forge; the next delivery asks again.
const ATTEMPTS: u32 = 2;

/// The requested reporter of a repository.
#[derive(Debug, Clone, Copy)]
pub struct ReporterConfig<'a> {
    /// `owner/name`, as the server watches it.
    pub repo: &'a str,
    /// `github`, `gitlab`, `gitea`, `forgejo` or `local`.
    pub forge: &'a str,
    /// Address that the repository is fetched from.
    pub url: &'a str,
    /// Address of the forge's API; `None`: the default of that forge.
    pub api: Option<&'a str>,
    /// Form of the reports.
    pub form: ReportForm,
    /// Whether plain HTTP is allowed.
    pub allow_http: bool,
}

// === impl ReporterConfig ===

impl ReporterConfig<'_> {
    /// The reporter to store; `None`: nothing is reported.
    ///
    /// # Errors
    /// A message for people if the form or the address is not allowed.
    pub fn row(&self) -> Result<Option<ForgeReporterRow>, String> {
        let form = match self.form {
            ReportForm::Status => "status",
            ReportForm::Check if self.forge == "github" => "check",
            ReportForm::Check => return Err("only GitHub has checks; use statuses".to_owned()),
            ReportForm::None => return Ok(None),
        };
        let Some(api) = self.api.map(str::to_owned).or_else(|| self.default_api()) else {
            return Ok(None);
        };
        let (tls, plain) = (api.starts_with("https://"), api.starts_with("http://"));
        if !(tls || plain && self.allow_http) {
            return Err(format!("{api:?} is no https:// address"));
        }
        let (repo, allow_http) = (self.repo.to_owned(), self.allow_http);
        Ok(Some(ForgeReporterRow { repo, api, allow_http, form: form.to_owned() }))
    }

    /// The address of the forge's API, also if nothing is reported.
    ///
    /// # Errors
    /// A message for people if the address is not allowed.
    pub fn address(&self) -> Result<Option<String>, String> {
        let reporting = Self { form: ReportForm::Status, ..*self };
        Ok(reporting.row()?.map(|row| row.api))
    }

    /// The GitHub App that authenticates this server.
    ///
    /// # Errors
    /// A message for people if the forge has no Apps or the App is malformed.
    pub fn app(&self, id: &str, key: &str) -> Result<App, String> {
        if self.forge != "github" {
            return Err("only GitHub has Apps; use a token".to_owned());
        }
        let api = self.address()?.ok_or("the address of the forge API is missing: set `api`")?;
        App::new(id, key, &api, self.allow_http)
    }

    /// The default address of this forge's API.
    fn default_api(&self) -> Option<String> {
        let (scheme, rest) = self.url.split_once("://")?;
        let host = rest.split('/').next()?;
        match (self.forge, host) {
            ("github", "github.com") => Some("https://api.github.com".to_owned()),
            ("github", host) => Some(format!("{scheme}://{host}/api/v3")),
            ("gitlab", host) => Some(format!("{scheme}://{host}/api/v4")),
            ("gitea" | "forgejo", host) => Some(format!("{scheme}://{host}/api/v1")),
            _ => None,
        }
    }
}

// === impl Credentials ===

impl Credentials {
    /// A client of the repository's forge; `None`: there is no token.
    pub(crate) async fn forge_client(&self, repo: &RepoRow) -> Result<Option<Client>, Error> {
        self.forge_client_for(repo, None).await
    }

    /// The same; the token of a GitHub App has the rights of a change.
    pub(crate) async fn forge_client_for(
        &self,
        repo: &RepoRow,
        rights: Option<Rights>,
    ) -> Result<Option<Client>, Error> {
        let api = match self.store.reports().forge_reporter(&repo.name).await? {
            Some(reporter) => Some((reporter.api, reporter.allow_http)),
            None => default_api_of(repo).map(|api| (api, false)),
        };
        let token = self.forge_token_for(&repo.name, rights).await?;
        let provider = repo.forge.parse::<Provider>();
        let (Some((api, allow_http)), Some(token), Ok(provider)) = (api, token, provider) else {
            return Ok(None);
        };
        let options = ClientOptions { allow_http, attempts: ATTEMPTS, ..ClientOptions::default() };
        let client = Client::new(provider, &api, &token, self.clock, options);
        client.map(Some).map_err(|error| Error::Unfit(error.to_string()))
    }
}

/// The default API address of the repository's forge; `None`: the forge has none.
fn default_api_of(repo: &RepoRow) -> Option<String> {
    let config = ReporterConfig {
        repo: &repo.name,
        forge: &repo.forge,
        url: &repo.url,
        api: None,
        form: ReportForm::Status,
        allow_http: false,
    };
    config.address().ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted<'a>(forge: &'a str, url: &'a str, api: Option<&'a str>) -> ReporterConfig<'a> {
        let (repo, form) = ("a/b", ReportForm::Status);
        ReporterConfig { repo, forge, url, api, form, allow_http: false }
    }

    #[test]
    fn default_api_addresses_follow_the_forge() {
        for (forge, url, api) in [
            ("github", "https://github.com/a/b.git", Some("https://api.github.com")),
            ("github", "https://ghe.example/a/b.git", Some("https://ghe.example/api/v3")),
            ("gitlab", "https://gitlab.com/a/b.git", Some("https://gitlab.com/api/v4")),
            ("gitea", "https://g.example:3000/a/b", Some("https://g.example:3000/api/v1")),
            ("forgejo", "https://codeberg.org/a/b", Some("https://codeberg.org/api/v1")),
            ("local", "/srv/git/b.git", None),
        ] {
            let row = wanted(forge, url, None).row().unwrap();
            assert_eq!(row.map(|row| row.api).as_deref(), api, "{url}");
        }
    }

    #[test]
    fn plain_http_and_foreign_checks_are_refused() {
        let plain = wanted("gitea", "/x", Some("http://forge.lan/api/v1"));
        assert!(plain.row().is_err());
        assert!(ReporterConfig { allow_http: true, ..plain }.row().unwrap().is_some());
        assert!(wanted("gitea", "/x", Some("file:///etc")).row().is_err());
        let check = ReporterConfig { form: ReportForm::Check, ..wanted("gitea", "/x", None) };
        assert!(check.row().is_err());
        let none = ReporterConfig { form: ReportForm::None, ..plain };
        assert_eq!(none.row(), Ok(None));
    }
}
