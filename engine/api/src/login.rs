//! What people who log in may do: rules that name groups, addresses or subjects, and the role that each
//! gives.
//!
//! Must not let anybody in whom no rule names. What a session may is asked of the rules each time, so that
//! who loses his rule loses it with the next start of the server.

use plue_login::{Issuer, Person};
use plue_store::PersonSession;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::access::{Grant, Principal, Role};

/// How people log in.
#[derive(Debug)]
pub struct Login {
    issuer: Issuer,
    rules: Vec<Rule>,
}

/// Gives a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// To whom.
    pub who: Who,
    /// Which.
    pub role: Role,
    /// Where; none: in all repositories.
    pub repo: Option<String>,
}

/// Whom a rule names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Everybody in a group.
    Group(String),
    /// Who has a verified address.
    Email(String),
    /// Who the issuer knows by this subject.
    Subject(String),
}

/// What is kept with a session of what rules may name: the address, and those of the groups that a rule
/// names at the time of the login.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Known {
    email: Option<String>,
    groups: Vec<String>,
}

// === impl Login ===

impl Login {
    /// Login with an issuer, by these rules.
    #[must_use]
    pub fn new(issuer: Issuer, rules: Vec<Rule>) -> Self {
        Self { issuer, rules }
    }

    pub(crate) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// What is to be kept of a person.
    pub(crate) fn known(&self, person: &Person) -> Json {
        let named = |group: &String| {
            self.rules.iter().any(|rule| matches!(&rule.who, Who::Group(name) if name == group))
        };
        let groups = person.groups.iter().filter(|group| named(group)).cloned().collect();
        let known = Known { email: person.email.clone(), groups };
        serde_json::to_value(known).unwrap_or_default()
    }

    /// Whose session it is, with what the rules give him now; nobody if they give him nothing.
    pub(crate) fn principal(&self, session: &PersonSession) -> Option<Principal> {
        if session.issuer != self.issuer.name() {
            return None;
        }
        let known: Known = serde_json::from_value(session.claims.clone()).ok()?;
        let name = format!("person:{}", session.name);
        Principal::with(name, grants(&self.rules, &session.subject, &known))
    }
}

fn grants(rules: &[Rule], subject: &str, known: &Known) -> Vec<Grant> {
    let fits = |rule: &&Rule| match &rule.who {
        Who::Group(group) => known.groups.contains(group),
        Who::Email(email) => {
            known.email.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(email))
        }
        Who::Subject(own) => own == subject,
    };
    let given = rules.iter().filter(fits);
    let mut grants: Vec<Grant> =
        given.map(|rule| Grant { role: rule.role, repo: rule.repo.clone() }).collect();
    grants.sort_unstable_by(|a, b| (&a.repo, b.role).cmp(&(&b.repo, a.role)));
    // Of several roles in one repository the highest is first, and counts.
    grants.dedup_by(|later, first| later.repo == first.repo);
    grants
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(who: Who, role: Role, repo: Option<&str>) -> Rule {
        Rule { who, role, repo: repo.map(str::to_owned) }
    }

    #[test]
    fn rules_add_up_and_nobody_is_let_in_whom_none_names() {
        let rules = [
            rule(Who::Group("dev".to_owned()), Role::Writer, Some("acme/app")),
            rule(Who::Group("dev".to_owned()), Role::Reader, None),
            rule(Who::Email("Ada@example.org".to_owned()), Role::Admin, Some("acme/app")),
            rule(Who::Subject("s1".to_owned()), Role::Admin, None),
        ];
        let known = |email: Option<&str>, groups: &[&str]| Known {
            email: email.map(str::to_owned),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        };
        let of = |subject: &str, known: &Known| {
            let grants = grants(&rules, subject, known);
            let word = |grant: &Grant| {
                format!("{} {}", grant.role.as_str(), grant.repo.as_deref().unwrap_or("*"))
            };
            grants.iter().map(word).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(of("x", &known(None, &["dev", "ops"])), "reader *, writer acme/app");
        let ada = known(Some("ada@example.org"), &["dev"]);
        assert_eq!(of("x", &ada), "reader *, admin acme/app");
        assert_eq!(of("s1", &known(None, &[])), "admin *");
        for nobody in [known(None, &["Dev", "dev "]), known(Some("eve@example.org"), &[])] {
            assert_eq!(of("s2", &nobody), "");
        }
    }
}
