//! Who may do what: four roles, each of which may do what those before it may, for one repository or
//! for all.
//!
//! Pure. Must not look at a request.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a principal may do. Ordered: a later role may do all that an earlier one may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// See runs, logs and plans.
    Reader,
    /// Start, cancel and retry runs.
    Writer,
    /// Decide approvals, let strangers' changes run, change secrets.
    Maintainer,
    /// Change tokens and repositories, read the audit trail.
    Admin,
}

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// As the audit trail and the journal name it: `token:NAME`.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The one repository it may do it to; none: all.
    pub repo: Option<String>,
}

/// What a route asks of who calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: health, the OpenAPI document, routes with a credential of their own.
    Nothing,
    /// A role, in the repository of what is asked for.
    Role(Role),
    /// A role in all repositories: what belongs to none.
    Everywhere(Role),
}

/// Why a principal may not do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody has said who he is, or the token is not good.
    Anonymous,
    /// The role is too low.
    Role(Role),
    /// The token is good for one repository only.
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
    /// Whether things of this repository concern it. What belongs to no repository concerns only those
    /// who may see all.
    #[must_use]
    pub fn sees(&self, repo: Option<&str>) -> bool {
        match (&self.repo, repo) {
            (None, _) => true,
            (Some(own), Some(repo)) => own == repo,
            (Some(_), None) => false,
        }
    }
}

// === impl Need ===

impl Need {
    /// Lets somebody in, or says why not.
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
        if principal.role < role {
            return Err(Refusal::Role(role));
        }
        if everywhere && principal.repo.is_some() {
            return Err(Refusal::Everywhere);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(role: Role, repo: Option<&str>) -> Principal {
        Principal { name: "token:x".to_owned(), role, repo: repo.map(str::to_owned) }
    }

    #[test]
    fn each_role_may_do_what_those_before_it_may_and_nothing_more() {
        for (at, role) in Role::ALL.iter().enumerate() {
            for (need, wanted) in Role::ALL.iter().enumerate() {
                let admitted = Need::Role(*wanted).admits(Some(&principal(*role, None)));
                assert_eq!(admitted.is_ok(), need <= at, "{role:?} {wanted:?}");
            }
        }
    }

    #[test]
    fn nobody_gets_only_what_asks_for_nothing() {
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
}
