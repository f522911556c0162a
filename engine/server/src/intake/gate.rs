//! The gate of untrusted changes: plans that run at once, and plans that await the approval of a maintainer.
//!
//! In the untrusted pool a plan runs if it reaches nothing beyond its base branch. A plan that reaches more
//! awaits approval, and so does every plan without that pool or without a comparison.

use plue_executor::{Engine, Isolation};
use plue_plan::{
    Plan,
    capability::{ANY_HOST, Capability, capabilities},
};
use plue_store::Store;

use super::dispatch::Target;
use crate::error::Error;

/// Capabilities named in a reason.
const MAX_NAMED: usize = 3;

/// The gate for the plans of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Trusted: all authors have write access.
    Open,
    /// Untrusted: an author without write access.
    Untrusted {
        /// State of the untrusted pool.
        pool: Isolation,
        /// Whether a maintainer has approved the commit.
        allowed: bool,
    },
}

// === impl Gate ===

impl Gate {
    /// The gate of a target's commit at this moment.
    pub(super) async fn read(
        engine: &Engine,
        store: &Store,
        target: Target<'_>,
    ) -> Result<Self, Error> {
        if !target.context.is_untrusted {
            return Ok(Self::Open);
        }
        let pool = engine.untrusted_isolation().await;
        let (repo, sha) = (&target.repo.name, target.commit.as_str());
        let allowed = store.untrusted().allowed_by(repo, sha).await?.is_some();
        Ok(Self::Untrusted { pool, allowed })
    }

    /// The reason that a plan does not run now. `newly` are the capabilities beyond those of the base branch;
    /// `None`: not compared.
    pub(crate) fn why_awaiting(&self, plan: &Plan, newly: Option<&[Capability]>) -> Option<String> {
        let Self::Untrusted { pool, allowed } = self else { return None };
        match (pool, allowed) {
            (Isolation::Missing(why), _) => {
                Some(format!("a change from a fork runs only in the pool `untrusted`: {why}"))
            }
            (Isolation::Off | Isolation::Ready(_), true) => None,
            (Isolation::Off, false) => {
                Some("a maintainer must let this commit of a fork run".to_owned())
            }
            (Isolation::Ready(_), false) => {
                let why = reason(plan, newly)?;
                Some(format!("a maintainer must let this commit of a fork run: {why}"))
            }
        }
    }

    /// Whether a maintainer has approved the untrusted commit.
    pub(crate) fn is_allowed(&self) -> bool {
        matches!(self, Self::Untrusted { allowed: true, .. })
    }

    /// The instruction for maintainers.
    pub(crate) fn notice(&self, repo: &str, sha: &str) -> String {
        let allow = format!("plue repo allow {repo} {sha}");
        match self {
            Self::Untrusted { pool: Isolation::Missing(_), .. } => format!(
                "nothing of this runs before `plue doctor` on the server reports a working sandbox, and then: \
                 {allow}"
            ),
            Self::Open | Self::Untrusted { pool: Isolation::Off | Isolation::Ready(_), .. } => {
                format!(
                    "nothing of what waits runs before a maintainer has read it and allows it: {allow}"
                )
            }
        }
    }
}

/// The reason that a plan needs approval although it would run in the untrusted pool.
fn reason(plan: &Plan, newly: Option<&[Capability]>) -> Option<String> {
    let Some(newly) = newly else {
        return Some("its new capabilities are unknown".to_owned());
    };
    if !newly.is_empty() {
        let named: Vec<_> = newly.iter().take(MAX_NAMED).map(ToString::to_string).collect();
        let more = newly.len().saturating_sub(MAX_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        return Some(format!("it would newly reach {}{more}", named.join(", ")));
    }
    // Unchanged text whose meaning depends on the untrusted change.
    capabilities(plan).into_iter().find_map(|capability| match capability {
        Capability::Workflow(_) => {
            Some("it starts runs whose plans are not reviewed yet".to_owned())
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
        | Capability::Budget(_)
        | Capability::Unapproved(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(steps: &str) -> Plan {
        let text = format!(r#"{{"version":1,"name":"x","steps":[{steps}]}}"#);
        Plan::from_json(text.as_bytes()).unwrap()
    }

    fn untrusted(pool: Isolation, allowed: bool) -> Gate {
        Gate::Untrusted { pool, allowed }
    }

    const PLAIN: &str = r#"{"id":"a","kind":"bash","run":"x"}"#;

    #[test]
    fn untrusted_plans_never_run_without_the_pool() {
        let missing = || Isolation::Missing("install it".to_owned());
        for allowed in [false, true] {
            let why = untrusted(missing(), allowed).why_awaiting(&plan(PLAIN), Some(&[])).unwrap();
            assert!(why.contains("install it"), "{why}");
        }
        assert_eq!(Gate::Open.why_awaiting(&plan(PLAIN), None), None);
    }

    #[test]
    fn approval_suffices_when_the_pool_is_off() {
        assert!(untrusted(Isolation::Off, false).why_awaiting(&plan(PLAIN), Some(&[])).is_some());
        assert_eq!(untrusted(Isolation::Off, true).why_awaiting(&plan(PLAIN), Some(&[])), None);
    }

    #[test]
    fn only_new_capabilities_await_approval_in_the_pool() {
        let gate = untrusted(Isolation::Ready(std::sync::Arc::default()), false);
        assert_eq!(gate.why_awaiting(&plan(PLAIN), Some(&[])), None);
        assert!(gate.why_awaiting(&plan(PLAIN), None).is_some(), "nobody compared");
        let new = [Capability::Secret("DEPLOY".to_owned()), Capability::Host("h".to_owned())];
        let why = gate.why_awaiting(&plan(PLAIN), Some(&new)).unwrap();
        assert!(why.ends_with("it would newly reach secret DEPLOY, host h"), "{why}");
        assert_eq!(
            untrusted(Isolation::Ready(std::sync::Arc::default()), true)
                .why_awaiting(&plan(PLAIN), Some(&new)),
            None
        );
    }

    #[test]
    fn dynamic_targets_await_approval() {
        let gate = untrusted(Isolation::Ready(std::sync::Arc::default()), false);
        for step in [
            r#"{"id":"a","kind":"call","url":{"$expr":"inputs.x"}}"#,
            r#"{"id":"a","kind":"workflow","workflow":"deploy"}"#,
        ] {
            assert!(gate.why_awaiting(&plan(step), Some(&[])).is_some(), "{step}");
        }
        let fixed = r#"{"id":"a","kind":"call","url":"https://h.example/"}"#;
        assert_eq!(gate.why_awaiting(&plan(fixed), Some(&[])), None);
    }
}
