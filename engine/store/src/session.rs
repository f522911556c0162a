//! Sessions of browsers. Only hashes of what they show are here.
//!
//! Must not decide who may do what: that is the API's.

use jiff::Timestamp;

use crate::{
    error::Error,
    handles::Sessions,
    op::Plain,
    sql::Statement,
    token::{self, TokenRow},
};

mod login;
mod saved_view;

pub use login::{LoginRow, PersonSession};
pub use saved_view::SavedView;

/// A row of `session`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// SHA-256 of what the browser shows, in hex.
    pub hash: String,
    /// The token that opened it.
    pub token_id: String,
    pub created_at: Timestamp,
    /// From then on it is refused.
    pub expires_at: Timestamp,
}

impl Sessions<'_> {
    /// Keeps a session, and forgets those that have expired.
    ///
    /// # Errors
    /// [`Error`] of the database, also if the token is gone.
    pub async fn create(self, session: &SessionRow) -> Result<(), Error> {
        let text = "DELETE FROM session WHERE expires_at <= $1";
        let expired = Statement::new(text, vec![session.created_at.into()]);
        let text = "INSERT INTO session (hash, token_id, created_at, expires_at) \
                    VALUES ($1, $2, $3, $4)";
        let args = vec![
            session.hash.as_str().into(),
            session.token_id.as_str().into(),
            session.created_at.into(),
            session.expires_at.into(),
        ];
        self.store.write(Plain(vec![expired, Statement::new(text, args)])).await
    }

    /// The session of a hash that has not expired, with its token as it is now.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn by_hash(
        self,
        hash: &str,
        now: Timestamp,
    ) -> Result<Option<(SessionRow, TokenRow)>, Error> {
        let text = "SELECT token_id, created_at, expires_at FROM session \
                    WHERE hash = $1 AND expires_at > $2";
        let found =
            self.store.read_one(Statement::new(text, vec![hash.into(), now.into()])).await?;
        let Some(row) = found else { return Ok(None) };
        let session = SessionRow {
            hash: hash.to_owned(),
            token_id: row.text(0)?,
            created_at: row.time(1)?,
            expires_at: row.time(2)?,
        };
        let token = self.store.read_one(token::by_id(&session.token_id)).await?;
        let token = token.map(|row| token::token_row(&row)).transpose()?;
        Ok(token.map(|token| (session, token)))
    }

    /// Ends a session, of a token or of a person.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn remove(self, hash: &str) -> Result<(), Error> {
        let gone = |text: &'static str| Statement::new(text, vec![hash.into()]);
        let person = gone("DELETE FROM person_session WHERE hash = $1");
        self.store.write(Plain(vec![gone("DELETE FROM session WHERE hash = $1"), person])).await
    }
}
