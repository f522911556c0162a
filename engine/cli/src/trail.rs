//! Audit rows of commands of this machine: who changed what, as the API leaves them for servers.

use plue_runtime::Clock;
use plue_store::{AuditRow, Store};
use serde_json::{Value as Json, json};

use crate::{
    failure::{Failure, from_store},
    person,
};

/// A change that a command made.
#[derive(Debug)]
pub struct Change<'a> {
    action: &'a str,
    subject: &'a str,
    detail: Json,
}

// === impl Change ===

impl<'a> Change<'a> {
    /// A change of one thing: `token.create` of an id. Actions are those of the API.
    #[must_use]
    pub fn new(action: &'a str, subject: &'a str) -> Self {
        Self { action, subject, detail: json!({}) }
    }

    /// More about it, without secrets.
    #[must_use]
    pub fn with(self, detail: Json) -> Self {
        Self { detail, ..self }
    }

    /// Stores the row.
    ///
    /// # Errors
    /// The database.
    pub async fn note(self, store: &Store) -> Result<(), Failure> {
        let row = AuditRow {
            seq: 0,
            at: Clock::real().now(),
            principal: person::principal(),
            action: self.action.to_owned(),
            subject: self.subject.to_owned(),
            repo: None,
            detail: self.detail,
        };
        store.audit().add(&row).await.map_err(|error| from_store(&error))
    }
}
