//! Filters of the list of runs that people saved under a name.
//!
//! Must not interpret a filter.

use jiff::Timestamp;

use crate::{
    changes::Shards,
    error::Error,
    handles::SavedViews,
    op::{Op, Plain},
    sql::{Row, Statement, Tx},
};

/// A row of `saved_view`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedView {
    /// Name of the person.
    pub principal: String,
    /// Name of the view, unique for the person.
    pub name: String,
    /// Filter as the query of an address.
    pub query: String,
    pub created_at: Timestamp,
}

struct Save {
    row: SavedView,
    most: u64,
}

impl SavedViews<'_> {
    /// Saves a view, in place of the person's view of the same name; `false`: the person has `most` others.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn save(self, row: SavedView, most: u64) -> Result<bool, Error> {
        self.store.write(Save { row, most }).await
    }

    /// Removes a view, if it is there.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn remove(self, principal: &str, name: &str) -> Result<(), Error> {
        let text = "DELETE FROM saved_view WHERE principal = $1 AND name = $2";
        let args = vec![principal.into(), name.into()];
        self.store.write(Plain(vec![Statement::new(text, args)])).await
    }

    /// The views of a person by name.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self, principal: &str) -> Result<Vec<SavedView>, Error> {
        let text = "SELECT principal, name, query, created_at FROM saved_view WHERE principal = $1 \
                    ORDER BY name";
        let rows = self.store.read(Statement::new(text, vec![principal.into()])).await?;
        rows.iter().map(view).collect()
    }
}

impl Op for Save {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let SavedView { principal, name, query, created_at } = &self.row;
        let text = "SELECT COUNT(*) FROM saved_view WHERE principal = $1 AND name <> $2";
        let others = vec![principal.as_str().into(), name.as_str().into()];
        let others = tx.fetch_optional(Statement::new(text, others)).await?;
        if others.map(|row| row.count(0)).transpose()?.unwrap_or(0) >= self.most {
            return Ok(false);
        }
        let text = "INSERT INTO saved_view (principal, name, query, created_at) \
                    VALUES ($1, $2, $3, $4) ON CONFLICT (principal, name) \
                    DO UPDATE SET query = excluded.query, created_at = excluded.created_at";
        let args = vec![
            principal.as_str().into(),
            name.as_str().into(),
            query.as_str().into(),
            (*created_at).into(),
        ];
        tx.write(Statement::new(text, args).expect(1));
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

fn view(row: &Row) -> Result<SavedView, Error> {
    Ok(SavedView {
        principal: row.text(0)?,
        name: row.text(1)?,
        query: row.text(2)?,
        created_at: row.time(3)?,
    })
}
