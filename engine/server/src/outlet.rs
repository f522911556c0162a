//! Where the forge of a repository is told of its commits: guessed from where the repository is.

use plue_api::commands::ReportForm;
use plue_store::OutletRow;

use crate::app::App;

/// What somebody wants of an outlet.
#[derive(Debug, Clone, Copy)]
pub struct WantedOutlet<'a> {
    /// The repository.
    pub repo: &'a str,
    /// Its forge, as it is stored.
    pub forge: &'a str,
    /// Where it is fetched from.
    pub url: &'a str,
    /// Address of the forge's API; `None`: where that kind of forge has it.
    pub api: Option<&'a str>,
    /// How it is told.
    pub form: ReportForm,
    /// Whether it may be reached without TLS.
    pub allow_http: bool,
}

// === impl WantedOutlet ===

impl WantedOutlet<'_> {
    /// The outlet; `None`: the forge is told nothing.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn row(&self) -> Result<Option<OutletRow>, String> {
        let form = match self.form {
            ReportForm::Status => "status",
            ReportForm::Check if self.forge == "github" => "check",
            ReportForm::Check => return Err("only GitHub has checks; use statuses".to_owned()),
            ReportForm::None => return Ok(None),
        };
        let Some(api) = self.api.map(str::to_owned).or_else(|| self.usual()) else {
            return Ok(None);
        };
        let (tls, plain) = (api.starts_with("https://"), api.starts_with("http://"));
        if !(tls || plain && self.allow_http) {
            return Err(format!("{api:?} is no https:// address"));
        }
        let (repo, allow_http) = (self.repo.to_owned(), self.allow_http);
        Ok(Some(OutletRow { repo, api, allow_http, form: form.to_owned() }))
    }

    /// The address of the forge's API, also if it is told nothing.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn address(&self) -> Result<Option<String>, String> {
        let told = Self { form: ReportForm::Status, ..*self };
        Ok(told.row()?.map(|row| row.api))
    }

    /// The GitHub App that the forge is to know this server by.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn app(&self, id: &str, key: &str) -> Result<App, String> {
        if self.forge != "github" {
            return Err("only GitHub has Apps; use a token".to_owned());
        }
        let api = self.address()?.ok_or("say where the API is")?;
        App::new(id, key, &api, self.allow_http)
    }

    /// Where this kind of forge has its API.
    fn usual(&self) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted<'a>(forge: &'a str, url: &'a str, api: Option<&'a str>) -> WantedOutlet<'a> {
        let (repo, form) = ("a/b", ReportForm::Status);
        WantedOutlet { repo, forge, url, api, form, allow_http: false }
    }

    #[test]
    fn each_forge_has_its_api_where_it_is_documented() {
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
    fn a_token_is_not_sent_in_the_clear_and_checks_are_for_github() {
        let plain = wanted("gitea", "/x", Some("http://forge.lan/api/v1"));
        assert!(plain.row().is_err());
        assert!(WantedOutlet { allow_http: true, ..plain }.row().unwrap().is_some());
        assert!(wanted("gitea", "/x", Some("file:///etc")).row().is_err());
        let check = WantedOutlet { form: ReportForm::Check, ..wanted("gitea", "/x", None) };
        assert!(check.row().is_err());
        let none = WantedOutlet { form: ReportForm::None, ..plain };
        assert_eq!(none.row(), Ok(None));
    }
}
