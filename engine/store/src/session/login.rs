//! Unfinished logins, and sessions of people who logged in. Only hashes of browser secrets are
//! stored.
//!
//! Must not decide the identity or the rights of a person.

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::{
    changes::Shards,
    error::Error,
    handles::Sessions,
    op::{Op, Plain},
    sql::{Arg, Statement, Tx},
};

/// A row of `login`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRow {
    /// SHA-256 of the state that went to the issuer, in hex.
    pub state_hash: String,
    /// SHA-256 of what the browser keeps, in hex.
    pub browser_hash: String,
    /// The path to come back to.
    pub return_to: Option<String>,
    /// From then on it is refused.
    pub expires_at: Timestamp,
}

/// A row of `person_session`.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonSession {
    /// SHA-256 of what the browser shows, in hex.
    pub hash: String,
    pub issuer: String,
    /// Subject at the issuer.
    pub subject: String,
    /// Display name.
    pub name: String,
    /// Names that rules may use for the person.
    pub claims: Json,
    pub created_at: Timestamp,
    /// From then on it is refused.
    pub expires_at: Timestamp,
}

struct Take {
    state_hash: String,
    browser_hash: String,
    at: Timestamp,
}

impl Sessions<'_> {
    /// Keeps a login that begins, and forgets those that have expired.
    ///
    /// # Errors
    /// [`Error`] of the database, also if the state is taken.
    pub async fn begin_login(self, login: &LoginRow, now: Timestamp) -> Result<(), Error> {
        let text = "DELETE FROM login WHERE expires_at <= $1";
        let expired = Statement::new(text, vec![now.into()]);
        let text = "INSERT INTO login (state_hash, browser_hash, return_to, expires_at) \
                    VALUES ($1, $2, $3, $4)";
        let args = vec![
            login.state_hash.as_str().into(),
            login.browser_hash.as_str().into(),
            login.return_to.clone().into(),
            login.expires_at.into(),
        ];
        self.store.write(Plain(vec![expired, Statement::new(text, args)])).await
    }

    /// Takes an unfinished login of this browser that has not expired; each login is taken once.
    /// One of another browser stays as it is.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn take_login(
        self,
        state_hash: &str,
        browser_hash: &str,
        at: Timestamp,
    ) -> Result<Option<LoginRow>, Error> {
        let (state_hash, browser_hash) = (state_hash.to_owned(), browser_hash.to_owned());
        self.store.write(Take { state_hash, browser_hash, at }).await
    }

    /// Keeps the session of a person, and forgets those that have expired.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn create_for_person(self, session: &PersonSession) -> Result<(), Error> {
        let text = "DELETE FROM person_session WHERE expires_at <= $1";
        let expired = Statement::new(text, vec![session.created_at.into()]);
        let text = "INSERT INTO person_session \
                    (hash, issuer, subject, name, claims, created_at, expires_at) \
                    VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let args = vec![
            session.hash.as_str().into(),
            session.issuer.as_str().into(),
            session.subject.as_str().into(),
            session.name.as_str().into(),
            Arg::json(&session.claims)?,
            session.created_at.into(),
            session.expires_at.into(),
        ];
        self.store.write(Plain(vec![expired, Statement::new(text, args)])).await
    }

    /// The session of a hash that has not expired.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn of_person(
        self,
        hash: &str,
        now: Timestamp,
    ) -> Result<Option<PersonSession>, Error> {
        let text = "SELECT issuer, subject, name, claims, created_at, expires_at \
                    FROM person_session WHERE hash = $1 AND expires_at > $2";
        let found =
            self.store.read_one(Statement::new(text, vec![hash.into(), now.into()])).await?;
        found
            .map(|row| {
                Ok(PersonSession {
                    hash: hash.to_owned(),
                    issuer: row.text(0)?,
                    subject: row.text(1)?,
                    name: row.text(2)?,
                    claims: row.json(3)?,
                    created_at: row.time(4)?,
                    expires_at: row.time(5)?,
                })
            })
            .transpose()
    }
}

impl Op for Take {
    type Out = Option<LoginRow>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Option<LoginRow>, Error> {
        let text = "SELECT return_to, expires_at FROM login \
                    WHERE state_hash = $1 AND browser_hash = $2";
        let key = Arg::from(self.state_hash.as_str());
        let args = vec![key.clone(), self.browser_hash.as_str().into()];
        let Some(row) = tx.fetch_optional(Statement::new(text, args)).await? else {
            return Ok(None);
        };
        let (return_to, expires_at) = (row.opt_text(0)?, row.time(1)?);
        // Two who come with it at once: the second one finds no such row any more.
        let text = "DELETE FROM login WHERE state_hash = $1";
        tx.write(Statement::new(text, vec![key]).expect(1));
        let login = LoginRow {
            state_hash: self.state_hash.clone(),
            browser_hash: self.browser_hash.clone(),
            return_to,
            expires_at,
        };
        Ok(Some(login).filter(|login| login.expires_at > self.at))
    }

    fn touched(&self, _: &Option<LoginRow>) -> Shards {
        Shards::NONE
    }
}
