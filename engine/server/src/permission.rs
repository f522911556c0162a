//! Comments and issues start runs only for actors with write access, since anyone may write them. The
//! forge is asked for the access; without a clear answer nothing starts.

use plue_forge::codes;
use plue_plan::{Event, event::EventType};
use plue_store::RepoRow;

use crate::{error::Error, secrets::Credentials};

/// Policy of the operator on events that start runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TriggerPolicy {
    /// Repositories whose comments and issues start runs for every actor; `*`: all.
    pub open_to_anyone: Vec<String>,
    /// Whether the base's plan runs for a pull request that removes or disables it.
    pub base_plans: bool,
}

// === impl TriggerPolicy ===

impl TriggerPolicy {
    fn is_open(&self, repo: &str) -> bool {
        self.open_to_anyone.iter().any(|name| name == "*" || name.eq_ignore_ascii_case(repo))
    }

    /// The reason that the actor of an event may start nothing; `None`: the actor may.
    ///
    /// # Errors
    /// The database, or secrets that cannot be opened.
    pub(crate) async fn why_not_writer(
        &self,
        credentials: &Credentials,
        repo: &RepoRow,
        event: &Event,
        actor_id: Option<u64>,
    ) -> Result<Option<String>, Error> {
        let is_open = self.is_open(&repo.name);
        if !matches!(event.kind, EventType::Issue | EventType::IssueComment) || is_open {
            return Ok(None);
        }
        let code = codes::NOT_A_WRITER;
        let no = |why: &str| {
            let what = "comments and issues start runs only for people who may write";
            Ok(Some(format!("{what}: {why} [{}]", code.as_str())))
        };
        let Some(actor) = event.actor.as_deref().filter(|actor| !actor.is_empty()) else {
            return no("the forge does not name the user");
        };
        let client = match credentials.forge_client(repo).await {
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
