//! Tokens: 160 random bits, shown once to their owner. Only their SHA-256 is stored, which is enough
//! for a secret that cannot be guessed.
//!
//! Must not log or store a token.

use jiff::Timestamp;
use plue_runtime::Ids;
use plue_store::TokenRow;
use sha2::{Digest as _, Sha256};

use crate::access::{Principal, Role};

/// First characters of every token, so that scanners of leaked secrets find it.
pub const PREFIX: &str = "plue_";
/// Characters of a token that are looked at; a longer one is refused unread.
pub const MAX_LENGTH: usize = 128;

/// A token on its way to its owner.
pub struct Fresh {
    /// The secret text, shown once.
    pub token: String,
    /// The row to store, with the hash only.
    pub row: TokenRow,
}

/// Whose token it is.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Its purpose, for people.
    pub name: String,
    /// The role of its holder.
    pub role: Role,
    /// For one repository only.
    pub repo: Option<String>,
    /// End of its validity; none: it has no end.
    pub expires_at: Option<Timestamp>,
    /// The principal that creates it.
    pub by: String,
}

/// Creates a token with a random secret.
#[must_use]
pub fn fresh(ids: &Ids, wanted: NewToken, now: Timestamp) -> Fresh {
    let token = format!("{PREFIX}{}", ids.secret());
    let row = TokenRow {
        id: ids.text(),
        hash: hash(&token),
        name: wanted.name,
        role: wanted.role.as_str().to_owned(),
        repo: wanted.repo,
        created_by: wanted.by,
        created_at: now,
        expires_at: wanted.expires_at,
        used_at: None,
    };
    Fresh { token, row }
}

/// The stored form of a token.
#[must_use]
pub fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// The principal of a token; none if the token has expired.
#[must_use]
pub fn principal(row: &TokenRow, now: Timestamp) -> Option<Principal> {
    if row.expires_at.is_some_and(|end| end <= now) {
        return None;
    }
    let role = row.role.parse().ok()?;
    Some(Principal::new(format!("token:{}", row.name), role, row.repo.clone()))
}

impl std::fmt::Debug for Fresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fresh").field("row", &self.row).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(expires_at: Option<Timestamp>) -> Fresh {
        let wanted = NewToken {
            name: "ci".to_owned(),
            role: Role::Writer,
            repo: None,
            expires_at,
            by: "root".to_owned(),
        };
        fresh(&Ids::random(), wanted, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn rows_and_debug_output_omit_the_token() {
        let fresh = made(None);
        assert_eq!(fresh.row.hash, hash(&fresh.token));
        assert!(fresh.token.starts_with(PREFIX) && fresh.token.len() <= MAX_LENGTH);
        assert!(!format!("{fresh:?}").contains(&fresh.token[PREFIX.len()..]));
        assert_ne!(made(None).token, fresh.token);
    }

    #[test]
    fn expired_tokens_are_rejected() {
        let end = Timestamp::from_second(10).unwrap();
        let row = made(Some(end)).row;
        assert!(principal(&row, Timestamp::from_second(9).unwrap()).is_some());
        assert!(principal(&row, end).is_none());
        let broken = TokenRow { role: "root".to_owned(), expires_at: None, ..row };
        assert!(principal(&broken, end).is_none(), "a role that nobody knows allows nothing");
    }
}
