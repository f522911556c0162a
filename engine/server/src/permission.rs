//! Comments and issues start runs only for people who may write to the repository: everybody else writes
//! them too. The forge is asked; what it does not say is no.

use plue_api::commands::ReportForm;
use plue_forge::{Client, Provider, codes, feedback::ClientOptions};
use plue_plan::{Event, event::EventType};
use plue_store::RepoRow;

use crate::{error::Error, outlet::WantedOutlet, server::Server};

/// Calls for one question: the next delivery asks again.
const ATTEMPTS: u32 = 2;

/// Policy of the operator on events that start runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TriggerPolicy {
    /// Repositories whose comments and issues start runs for anybody; `*`: all.
    pub open_to_anyone: Vec<String>,
    /// Whether a pull request that keeps a plan of its base from running gets the base's plan.
    pub base_plans: bool,
}

// === impl TriggerPolicy ===

impl TriggerPolicy {
    fn is_open(&self, repo: &str) -> bool {
        self.open_to_anyone.iter().any(|name| name == "*" || name.eq_ignore_ascii_case(repo))
    }
}

// === impl Server ===

impl Server {
    /// The reason that an event starts nothing for the person behind it; `None`: it may.
    ///
    /// # Errors
    /// The database, or secrets that cannot be opened.
    pub(crate) async fn why_not_writer(
        &self,
        repo: &RepoRow,
        event: &Event,
        actor_id: Option<u64>,
    ) -> Result<Option<String>, Error> {
        let is_open = self.parts().options.triggers.is_open(&repo.name);
        if !matches!(event.kind, EventType::Issue | EventType::IssueComment) || is_open {
            return Ok(None);
        }
        let code = codes::NOT_A_WRITER;
        let no = |why: &str| {
            let what = "comments and issues start runs only for people who may write";
            Ok(Some(format!("{what}: {why} [{}]", code.as_str())))
        };
        let Some(actor) = event.actor.as_deref().filter(|actor| !actor.is_empty()) else {
            return no("the forge does not say who it was");
        };
        let client = match self.client_of(repo).await {
            Ok(Some(client)) => client,
            Ok(None) => return no("the forge cannot be asked without a token"),
            Err(Error::App(why) | Error::Unfit(why)) => {
                return no(&format!("the forge cannot be asked: {why}"));
            }
            Err(error) => return Err(error),
        };
        match client.may_write(&repo.name, actor, actor_id).await {
            Ok(true) => Ok(None),
            Ok(false) => no(&format!("{actor} may not")),
            Err(error) => no(&format!("the forge was asked for {actor}: {error}")),
        }
    }

    /// A client of the repository's forge; `None`: there is no token.
    pub(crate) async fn client_of(&self, repo: &RepoRow) -> Result<Option<Client>, Error> {
        let outlet = match self.store().outlet(&repo.name).await? {
            Some(outlet) => Some((outlet.api, outlet.allow_http)),
            None => usual_api(repo).map(|api| (api, false)),
        };
        let token = self.forge_token(&repo.name).await?;
        let provider = repo.forge.parse::<Provider>();
        let (Some((api, allow_http)), Some(token), Ok(provider)) = (outlet, token, provider) else {
            return Ok(None);
        };
        let options = ClientOptions { allow_http, attempts: ATTEMPTS, ..ClientOptions::default() };
        let client = Client::new(provider, &api, &token, self.parts().clock, options);
        client.map(Some).map_err(|error| Error::Unfit(error.to_string()))
    }
}

/// The usual API address of the repository's forge; `None`: there is none.
fn usual_api(repo: &RepoRow) -> Option<String> {
    let outlet = WantedOutlet {
        repo: &repo.name,
        forge: &repo.forge,
        url: &repo.url,
        api: None,
        form: ReportForm::Status,
        allow_http: false,
    };
    outlet.address().ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_repositories_are_open_to_anyone() {
        let policy = |names: &[&str]| TriggerPolicy {
            open_to_anyone: names.iter().map(|&name| name.to_owned()).collect(),
            base_plans: false,
        };
        assert!(!policy(&[]).is_open("acme/app"));
        assert!(!policy(&["acme/web"]).is_open("acme/app"));
        assert!(policy(&["Acme/App"]).is_open("acme/app"));
        assert!(policy(&["*"]).is_open("acme/app"));
    }
}
