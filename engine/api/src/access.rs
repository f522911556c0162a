//! Access control: four roles, each with the permissions of those before it, for one repository or for
//! all.
//!
//! Pure. Must not look at a request.

use std::{net::IpAddr, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Permissions of a principal, in order: a later role may do all that an earlier one may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// See runs, logs and plans.
    Reader,
    /// Start, cancel and retry runs.
    Writer,
    /// Decide approvals, let changes of untrusted authors run, change secrets.
    Maintainer,
    /// Change tokens and repositories, read the audit trail.
    Admin,
}

/// A role and the repository it is valid in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// Highest role that the principal acts in.
    pub role: Role,
    /// The one repository he may do it to; absent: all.
    #[serde(rename = "repository")]
    pub repo: Option<String>,
}

/// The principal that sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// As the audit trail and the journal name it: `token:NAME`, `person:NAME`.
    pub name: String,
    grants: Vec<Grant>,
    /// Least role of the route; where the principal has a lesser one, access is refused.
    need: Role,
    /// The client address of the request, for the audit trail.
    from: Option<IpAddr>,
    /// The request was made in this process, by a command of this machine.
    is_local: bool,
}

/// Requirement of a route on its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: health, the OpenAPI document, routes with a credential of their own.
    Nothing,
    /// A role, in the repository of what is asked for.
    Role(Role),
    /// A role in all repositories: what belongs to none.
    Everywhere(Role),
}

/// Reason for refusing a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No credentials, or a token that is not valid.
    Anonymous,
    /// The role is too low.
    Role(Role),
    /// It is for who has the role in all repositories.
    Everywhere,
}

// === impl Role ===

impl Role {
    /// Every role, the lowest first.
    pub const ALL: &'static [Self] = &[Self::Reader, Self::Writer, Self::Maintainer, Self::Admin];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Maintainer => "maintainer",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().copied().find(|role| role.as_str() == text);
        found.ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|role| role.as_str()).collect();
            format!("{text:?} is no role; the roles are {}", all.join(", "))
        })
    }
}

// === impl Principal ===

impl Principal {
    /// A principal with one role, in one repository or in all.
    #[must_use]
    pub fn new(name: String, role: Role, repo: Option<String>) -> Self {
        let grants = vec![Grant { role, repo }];
        Self { name, grants, need: Role::Reader, from: None, is_local: false }
    }

    /// The person at this machine: all rights, and files of this machine.
    #[must_use]
    pub(crate) fn local(name: String) -> Self {
        Self { is_local: true, ..Self::new(name, Role::Admin, None) }
    }

    /// True for a command of this machine; false for every request of a network.
    #[must_use]
    pub(crate) fn is_local(&self) -> bool {
        self.is_local
    }

    /// A principal with several roles; anonymous without any.
    #[must_use]
    pub fn with(name: String, grants: Vec<Grant>) -> Option<Self> {
        let (need, from, is_local) = (Role::Reader, None, false);
        (!grants.is_empty()).then_some(Self { name, grants, need, from, is_local })
    }

    /// The same, asking for what needs a role.
    #[must_use]
    pub fn asking(self, need: Role) -> Self {
        Self { need, ..self }
    }

    /// The same, asking from this client address.
    #[must_use]
    pub fn at(self, from: Option<IpAddr>) -> Self {
        Self { from, ..self }
    }

    /// The name that events of this caller have: at this machine that of the user.
    #[must_use]
    pub(crate) fn actor(&self) -> &str {
        let user = self.name.strip_prefix("local:").filter(|_| self.is_local);
        user.unwrap_or(&self.name)
    }

    /// The client address of the request; none: it was made in this process.
    #[must_use]
    pub fn from(&self) -> Option<IpAddr> {
        self.from
    }

    /// Role of the principal, per repository.
    #[must_use]
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// The highest of his roles.
    #[must_use]
    pub fn role(&self) -> Role {
        self.grants.iter().map(|grant| grant.role).max().unwrap_or(Role::Reader)
    }

    /// The role that the route asks for.
    #[must_use]
    pub fn need(&self) -> Role {
        self.need
    }

    /// His role in a repository. What belongs to none is for those who may see all.
    #[must_use]
    pub fn role_in(&self, repo: Option<&str>) -> Option<Role> {
        let here = self.grants.iter().filter(|grant| match (&grant.repo, repo) {
            (None, _) => true,
            (Some(own), Some(repo)) => own == repo,
            (Some(_), None) => false,
        });
        here.map(|grant| grant.role).max()
    }

    /// Whether he may do what he asks for to things of this repository.
    #[must_use]
    pub fn sees(&self, repo: Option<&str>) -> bool {
        self.role_in(repo).is_some_and(|role| role >= self.need)
    }

    /// The repositories where he may do what he asks for; none: all.
    #[must_use]
    pub fn repos(&self) -> Option<Vec<String>> {
        let may = self.grants.iter().filter(|grant| grant.role >= self.need);
        let mut repos: Vec<_> = may.map(|grant| grant.repo.clone()).collect::<Option<_>>()?;
        repos.sort_unstable();
        repos.dedup();
        Some(repos)
    }

    /// The one repository that all he may do is about.
    #[must_use]
    pub fn only_repo(&self) -> Option<String> {
        let first = self.grants.first()?.repo.clone()?;
        self.grants.iter().all(|grant| grant.repo.as_ref() == Some(&first)).then_some(first)
    }
}

// === impl Need ===

impl Need {
    /// Admits a principal that satisfies this requirement.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn admits(self, principal: Option<&Principal>) -> Result<(), Refusal> {
        let (role, everywhere) = match self {
            Self::Nothing => return Ok(()),
            Self::Role(role) => (role, false),
            Self::Everywhere(role) => (role, true),
        };
        let principal = principal.ok_or(Refusal::Anonymous)?;
        if principal.role() < role {
            return Err(Refusal::Role(role));
        }
        if everywhere && principal.role_in(None).is_none_or(|all| all < role) {
            return Err(Refusal::Everywhere);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(role: Role, repo: Option<&str>) -> Principal {
        Principal::new("token:x".to_owned(), role, repo.map(str::to_owned))
    }

    #[test]
    fn roles_include_the_rights_of_lower_roles_only() {
        for (at, role) in Role::ALL.iter().enumerate() {
            for (need, wanted) in Role::ALL.iter().enumerate() {
                let admitted = Need::Role(*wanted).admits(Some(&principal(*role, None)));
                assert_eq!(admitted.is_ok(), need <= at, "{role:?} {wanted:?}");
            }
        }
    }

    #[test]
    fn anonymous_callers_pass_only_public_routes() {
        assert_eq!(Need::Nothing.admits(None), Ok(()));
        for need in [Need::Role(Role::Reader), Need::Everywhere(Role::Reader)] {
            assert_eq!(need.admits(None), Err(Refusal::Anonymous));
        }
    }

    #[test]
    fn a_token_of_one_repository_sees_nothing_else() {
        let one = principal(Role::Admin, Some("acme/app"));
        assert!(one.sees(Some("acme/app")));
        assert!(!one.sees(Some("acme/app2")) && !one.sees(None));
        assert_eq!(Need::Everywhere(Role::Admin).admits(Some(&one)), Err(Refusal::Everywhere));
    }

    #[test]
    fn roles_of_a_person_are_per_repository() {
        let grant = |role, repo: &str| Grant { role, repo: Some(repo.to_owned()) };
        let grants = vec![
            grant(Role::Reader, "acme/lib"),
            grant(Role::Maintainer, "acme/app"),
            grant(Role::Reader, "acme/app"),
        ];
        let ada = Principal::with("person:ada".to_owned(), grants).unwrap();
        assert_eq!(ada.role_in(Some("acme/app")), Some(Role::Maintainer), "the highest counts");
        assert_eq!(ada.repos(), Some(vec!["acme/app".to_owned(), "acme/lib".to_owned()]));
        assert!(ada.sees(Some("acme/lib")) && !ada.sees(Some("acme/web")) && !ada.sees(None));
        let writes = ada.clone().asking(Role::Writer);
        assert!(writes.sees(Some("acme/app")) && !writes.sees(Some("acme/lib")));
        assert_eq!(writes.repos(), Some(vec!["acme/app".to_owned()]));
        assert_eq!(writes.asking(Role::Admin).repos(), Some(Vec::new()), "none, not all");
        assert_eq!(ada.only_repo(), None);
        let refused = Need::Everywhere(Role::Reader).admits(Some(&ada));
        assert_eq!(refused, Err(Refusal::Everywhere));
        assert_eq!(Need::Role(Role::Admin).admits(Some(&ada)), Err(Refusal::Role(Role::Admin)));
        assert_eq!(Principal::with("person:eve".to_owned(), Vec::new()), None);
    }

    #[test]
    fn repository_roles_do_not_pass_global_routes() {
        let all = Grant { role: Role::Reader, repo: None };
        let one = Grant { role: Role::Admin, repo: Some("acme/app".to_owned()) };
        let both = Principal::with("person:ada".to_owned(), vec![all, one]).unwrap();
        assert_eq!(Need::Everywhere(Role::Reader).admits(Some(&both)), Ok(()));
        let refused = Need::Everywhere(Role::Admin).admits(Some(&both));
        assert_eq!(refused, Err(Refusal::Everywhere));
        assert_eq!(both.repos(), None);
    }
}
