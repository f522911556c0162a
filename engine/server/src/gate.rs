//! What of a stranger's change runs without a maintainer's word, and why the rest does not.
//!
//! Behind walls, what asks for nothing new runs; what asks for more than the branch that it is to go
//! into has waits, and so does everything where there are no walls. What cannot be compared waits.

use plue_executor::Apart;
use plue_forge::git::CommitId;
use plue_plan::{
    Plan,
    capability::{ANY_HOST, Capability, capabilities},
};
use plue_store::RepoRow;

use crate::{error::Error, feedback::words, occasion::Occasion, server::Server};

/// Capabilities that are named in the words for one plan at most.
const MAX_NAMED: usize = 3;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Nobody but those who may write to the repository had a hand in it.
    Open,
    /// A stranger's, on a machine with this pool for it.
    Strangers {
        /// Whether it is apart.
        pool: Apart,
        /// A maintainer lets the commit run.
        allowed: bool,
    },
}

// === impl Gate ===

impl Gate {
    /// Why a plan does not run now. `newly` is what it reaches and the branch that it is to go into does
    /// not; `None`: nobody knows.
    pub(crate) fn why_held(&self, plan: &Plan, newly: Option<&[Capability]>) -> Option<String> {
        let Self::Strangers { pool, allowed } = self else { return None };
        match (pool, allowed) {
            (Apart::Missing(why), _) => {
                Some(format!("a change from a fork runs only in the pool `untrusted`: {why}"))
            }
            (Apart::Off | Apart::Ready(_), true) => None,
            (Apart::Off, false) => {
                Some("a maintainer must let this commit of a fork run".to_owned())
            }
            (Apart::Ready(_), false) => {
                let why = reason(plan, newly)?;
                Some(format!("a maintainer must let this commit of a fork run: {why}"))
            }
        }
    }

    /// Whether a maintainer's word was known when it was looked at.
    pub(crate) fn is_allowed(&self) -> bool {
        matches!(self, Self::Strangers { allowed: true, .. })
    }

    /// What a maintainer can do about it.
    pub(crate) fn notice(&self, repo: &str, sha: &str) -> String {
        let allow = format!("plue repo allow {repo} {sha}");
        match self {
            Self::Strangers { pool: Apart::Missing(_), .. } => format!(
                "nothing of this runs before `plue doctor` on the server says that it can, and then: \
                 {allow}"
            ),
            Self::Open | Self::Strangers { pool: Apart::Off | Apart::Ready(_), .. } => format!(
                "nothing of what waits runs before a maintainer has read it and allows it: {allow}"
            ),
        }
    }
}

/// What of a plan needs somebody's word although it would be walled off.
fn reason(plan: &Plan, newly: Option<&[Capability]>) -> Option<String> {
    let Some(newly) = newly else {
        return Some("nobody knows what it would newly reach".to_owned());
    };
    if !newly.is_empty() {
        let named: Vec<_> = newly.iter().take(MAX_NAMED).map(words).collect();
        let more = newly.len().saturating_sub(MAX_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        return Some(format!("it would newly reach {}{more}", named.join(", ")));
    }
    // The same words as before, but what they stand for is the stranger's to say now.
    capabilities(plan).into_iter().find_map(|capability| match capability {
        Capability::Workflow(_) => {
            Some("it starts runs whose plans nobody has seen yet".to_owned())
        }
        Capability::Host(host) if host == ANY_HOST => {
            Some("its steps decide which host is called".to_owned())
        }
        Capability::Host(_)
        | Capability::Secret(_)
        | Capability::Runner(_)
        | Capability::Image(_)
        | Capability::Tool(_)
        | Capability::Role(_)
        | Capability::Plugin(_)
        | Capability::Budget(_) => None,
    })
}

impl Server {
    /// What holds for a commit now.
    pub(crate) async fn gate(
        &self,
        repo: &RepoRow,
        occasion: &Occasion,
        commit: &CommitId,
    ) -> Result<Gate, Error> {
        if !occasion.is_stranger {
            return Ok(Gate::Open);
        }
        let pool = self.parts().engine.is_apart().await;
        let allowed = self.store().allowed_by(&repo.name, commit.as_str()).await?.is_some();
        Ok(Gate::Strangers { pool, allowed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(steps: &str) -> Plan {
        let text = format!(r#"{{"version":1,"name":"x","steps":[{steps}]}}"#);
        Plan::from_json(text.as_bytes()).unwrap()
    }

    fn strangers(pool: Apart, allowed: bool) -> Gate {
        Gate::Strangers { pool, allowed }
    }

    const PLAIN: &str = r#"{"id":"a","kind":"bash","run":"x"}"#;

    #[test]
    fn without_a_pool_nothing_of_a_stranger_runs_whoever_allows_it() {
        let missing = || Apart::Missing("install it".to_owned());
        for allowed in [false, true] {
            let why = strangers(missing(), allowed).why_held(&plan(PLAIN), Some(&[])).unwrap();
            assert!(why.contains("install it"), "{why}");
        }
        assert_eq!(Gate::Open.why_held(&plan(PLAIN), None), None);
    }

    #[test]
    fn where_the_pool_is_switched_off_a_maintainers_word_is_all() {
        assert!(strangers(Apart::Off, false).why_held(&plan(PLAIN), Some(&[])).is_some());
        assert_eq!(strangers(Apart::Off, true).why_held(&plan(PLAIN), Some(&[])), None);
    }

    #[test]
    fn in_the_pool_only_what_is_new_waits_and_is_named() {
        let gate = strangers(Apart::Ready(std::sync::Arc::default()), false);
        assert_eq!(gate.why_held(&plan(PLAIN), Some(&[])), None);
        assert!(gate.why_held(&plan(PLAIN), None).is_some(), "nobody compared");
        let new = [Capability::Secret("DEPLOY".to_owned()), Capability::Host("h".to_owned())];
        let why = gate.why_held(&plan(PLAIN), Some(&new)).unwrap();
        assert!(why.ends_with("it would newly reach secret DEPLOY, host h"), "{why}");
        assert_eq!(
            strangers(Apart::Ready(std::sync::Arc::default()), true)
                .why_held(&plan(PLAIN), Some(&new)),
            None
        );
    }

    #[test]
    fn what_a_stranger_may_fill_in_waits_although_it_is_not_new() {
        let gate = strangers(Apart::Ready(std::sync::Arc::default()), false);
        for step in [
            r#"{"id":"a","kind":"call","url":{"$expr":"inputs.x"}}"#,
            r#"{"id":"a","kind":"workflow","workflow":"deploy"}"#,
        ] {
            assert!(gate.why_held(&plan(step), Some(&[])).is_some(), "{step}");
        }
        let fixed = r#"{"id":"a","kind":"call","url":"https://h.example/"}"#;
        assert_eq!(gate.why_held(&plan(fixed), Some(&[])), None);
    }
}
