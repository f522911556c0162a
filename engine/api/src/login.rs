//! Roles of people who log in: rules that name groups, addresses or subjects, and the role that each
//! gives.
//!
//! Must not admit a person whom no rule names. The role of a session follows from the rules at each
//! request, so
//! that a removed rule takes effect with the next start of the server.

use plue_login::{Issuer, Person};
use plue_store::PersonSession;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::access::{Grant, Principal, Role};

/// The login with an issuer, and the rules for its people.
#[derive(Debug)]
pub struct Login {
    issuer: Issuer,
    rules: Vec<Rule>,
}

/// A rule: the people it names, and the role it gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The people that the rule names.
    pub who: Who,
    /// The role that it gives.
    pub role: Role,
    /// Where; none: in all repositories.
    pub repo: Option<String>,
}

/// Whom a rule names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Everybody in a group.
    Group(String),
    /// A person with this verified address.
    Email(String),
    /// A person whom the issuer knows by this subject.
    Subject(String),
}

/// Claims stored with a session for the rules: the address, and those of the groups that a rule named
/// at the time of the login.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Claims {
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

    /// The claims of a person that a session stores.
    pub(crate) fn known(&self, person: &Person) -> Json {
        let named = |group: &String| {
            self.rules.iter().any(|rule| matches!(&rule.who, Who::Group(name) if name == group))
        };
        let groups = person.groups.iter().filter(|group| named(group)).cloned().collect();
        let known = Claims { email: person.email.clone(), groups };
        serde_json::to_value(known).unwrap_or_default()
    }

    /// The principal of a session, with the roles that the rules give now; none if no rule applies.
    pub(crate) fn principal(&self, session: &PersonSession) -> Option<Principal> {
        if session.issuer != self.issuer.name() {
            return None;
        }
        let known: Claims = serde_json::from_value(session.claims.clone()).ok()?;
        let name = format!("person:{}", session.name);
        Principal::with(name, grants(&self.rules, &session.subject, &known))
    }
}

fn grants(rules: &[Rule], subject: &str, known: &Claims) -> Vec<Grant> {
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
    fn rules_add_up_and_unnamed_persons_are_refused() {
        let rules = [
            rule(Who::Group("dev".to_owned()), Role::Writer, Some("acme/app")),
            rule(Who::Group("dev".to_owned()), Role::Reader, None),
            rule(Who::Email("Ada@example.org".to_owned()), Role::Admin, Some("acme/app")),
            rule(Who::Subject("s1".to_owned()), Role::Admin, None),
        ];
        let known = |email: Option<&str>, groups: &[&str]| Claims {
            email: email.map(str::to_owned),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        };
        let of = |subject: &str, known: &Claims| {
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
        for unnamed in [known(None, &["Dev", "dev "]), known(Some("eve@example.org"), &[])] {
            assert_eq!(of("s2", &unnamed), "");
        }
    }
}
