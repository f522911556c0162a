//! Tokens of the API. Must not see a token: only its hash comes here.

use jiff::Timestamp;

use crate::{
    error::Error,
    handles::Tokens,
    op::Plain,
    sql::{Row, Statement},
};

/// A row of `token`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    pub id: String,
    /// SHA-256 of the token, lower-case hex.
    pub hash: String,
    /// Purpose, in its owner's words.
    pub name: String,
    /// `reader`, `writer`, `maintainer` or `admin`.
    pub role: String,
    /// The one repository it is good for; none: all.
    pub repo: Option<String>,
    pub created_by: String,
    pub created_at: Timestamp,
    /// From then on it is refused.
    pub expires_at: Option<Timestamp>,
    /// Time of its last use, to the minute or so.
    pub used_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, hash, name, role, repo, created_by, created_at, expires_at, used_at";

impl Tokens<'_> {
    /// Keeps a token.
    ///
    /// # Errors
    /// [`Error`] of the database, also if the id is taken.
    pub async fn create(self, token: &TokenRow) -> Result<(), Error> {
        let text =
            format!("INSERT INTO token ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)");
        let args = vec![
            token.id.as_str().into(),
            token.hash.as_str().into(),
            token.name.as_str().into(),
            token.role.as_str().into(),
            token.repo.clone().into(),
            token.created_by.as_str().into(),
            token.created_at.into(),
            token.expires_at.into(),
            token.used_at.into(),
        ];
        self.store.write(Plain(vec![Statement::new(text, args)])).await
    }

    /// The token of a hash, expired or not.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn by_hash(self, hash: &str) -> Result<Option<TokenRow>, Error> {
        let text = format!("SELECT {COLUMNS} FROM token WHERE hash = $1");
        let row = self.store.read_one(Statement::new(text, vec![hash.into()])).await?;
        row.map(|row| token_row(&row)).transpose()
    }

    /// All tokens, the oldest first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self) -> Result<Vec<TokenRow>, Error> {
        let text = format!("SELECT {COLUMNS} FROM token ORDER BY created_at, id");
        let rows = self.store.read(Statement::new(text, Vec::new())).await?;
        rows.iter().map(token_row).collect()
    }

    /// Removes a token; from then on it is unknown. Returns whether there was one.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn remove(self, id: &str) -> Result<bool, Error> {
        let text = "SELECT id FROM token WHERE id = $1";
        let known = self.store.read_one(Statement::new(text, vec![id.into()])).await?.is_some();
        let gone = |text: &'static str| Statement::new(text, vec![id.into()]);
        let sessions = gone("DELETE FROM session WHERE token_id = $1");
        self.store.write(Plain(vec![sessions, gone("DELETE FROM token WHERE id = $1")])).await?;
        Ok(known)
    }

    /// Notes that a token was good for something.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn used(self, id: &str, at: Timestamp) -> Result<(), Error> {
        let text = "UPDATE token SET used_at = $2 WHERE id = $1";
        self.store.write(Plain(vec![Statement::new(text, vec![id.into(), at.into()])])).await
    }
}

/// The row of an id.
pub(crate) fn by_id(id: &str) -> Statement {
    let text = format!("SELECT {COLUMNS} FROM token WHERE id = $1");
    Statement::new(text, vec![id.into()])
}

pub(crate) fn token_row(row: &Row) -> Result<TokenRow, Error> {
    Ok(TokenRow {
        id: row.text(0)?,
        hash: row.text(1)?,
        name: row.text(2)?,
        role: row.text(3)?,
        repo: row.opt_text(4)?,
        created_by: row.text(5)?,
        created_at: row.time(6)?,
        expires_at: row.opt_time(7)?,
        used_at: row.opt_time(8)?,
    })
}
