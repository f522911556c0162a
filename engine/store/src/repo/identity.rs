//! The forge's immutable id of each watched repository. A name may be given to another repository, an id
//! may not.

use jiff::Timestamp;

use crate::{
    changes::Shards,
    error::Error,
    handles::Repos,
    op::Op,
    repo::{COLUMNS, RepoRow, repo_row},
    sql::{Arg, Row, Statement, Tx},
};

/// A row of `repo_identity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoIdentity {
    /// Name of the watched repository.
    pub repo: String,
    /// The forge's id of it.
    pub forge_id: String,
    /// Its name at the forge, as the newest delivery had it.
    pub forge_name: String,
    /// Time at which the id was stored.
    pub seen_at: Timestamp,
    /// The id of another repository that came under its name and was refused.
    pub other_id: Option<String>,
    /// Time at which that one was last refused.
    pub other_at: Option<Timestamp>,
}

/// The repository of a delivery against the watched one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognised {
    /// The first id that was seen: it is stored.
    First,
    /// The id is the stored one.
    Same,
    /// Another repository; it is noted.
    Other {
        /// The id of the watched one.
        known: String,
    },
}

struct Recognise {
    repo: String,
    id: String,
    name: String,
    at: Timestamp,
}

struct Confirm {
    repo: String,
    id: String,
    at: Timestamp,
}

impl Repos<'_> {
    /// Compares the forge's id of a delivery's repository with the stored one; the first one is stored.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn recognise(
        self,
        repo: &str,
        id: &str,
        name: &str,
        at: Timestamp,
    ) -> Result<Recognised, Error> {
        let (repo, id, name) = (repo.to_owned(), id.to_owned(), name.to_owned());
        self.store.write(Recognise { repo, id, name, at }).await
    }

    /// Takes another repository's id for that of the watched one. `false`: no repository with this id
    /// was refused.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn confirm_identity(
        self,
        repo: &str,
        id: &str,
        at: Timestamp,
    ) -> Result<bool, Error> {
        self.store.write(Confirm { repo: repo.to_owned(), id: id.to_owned(), at }).await
    }

    /// The identity of a repository; `None`: no delivery had its id yet.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn identity(self, repo: &str) -> Result<Option<RepoIdentity>, Error> {
        let row = self.store.read_one(one(repo)).await?;
        row.map(|row| identity(&row)).transpose()
    }

    /// The identities of all repositories, by name.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn identities(self) -> Result<Vec<RepoIdentity>, Error> {
        let text = format!("SELECT {IDENTITY} FROM repo_identity ORDER BY repo");
        let rows = self.store.read(Statement::new(text, Vec::new())).await?;
        rows.iter().map(identity).collect()
    }

    /// The repositories of a kind of forge that have this id or, without regard to case, this name. Ids
    /// are unique within one forge only, so that there may be several.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn known_as(
        self,
        forge: &str,
        id: Option<&str>,
        name: &str,
    ) -> Result<Vec<RepoRow>, Error> {
        let text = format!(
            "SELECT {COLUMNS} FROM repo WHERE forge = $1 AND (lower(name) = lower($2) OR EXISTS (\
             SELECT 1 FROM repo_identity i WHERE i.repo = repo.name AND i.forge_id = $3)) ORDER BY name"
        );
        let args: Vec<Arg> = vec![forge.into(), name.into(), id.unwrap_or_default().into()];
        let rows = self.store.read(Statement::new(text, args)).await?;
        rows.iter().map(repo_row).collect()
    }
}

const IDENTITY: &str = "repo, forge_id, forge_name, seen_at, other_id, other_at";

fn one(repo: &str) -> Statement {
    let text = format!("SELECT {IDENTITY} FROM repo_identity WHERE repo = $1");
    Statement::new(text, vec![repo.into()])
}

impl Op for Recognise {
    type Out = Recognised;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Recognised, Error> {
        let known = tx.fetch_optional(one(&self.repo)).await?;
        let known = known.map(|row| identity(&row)).transpose()?;
        let Some(known) = known else {
            let args = vec![
                self.repo.as_str().into(),
                self.id.as_str().into(),
                self.name.as_str().into(),
                self.at.into(),
            ];
            // Of two engines at once the second inserts nothing, and reads again.
            tx.write(
                Statement::new(
                    "INSERT INTO repo_identity (repo, forge_id, forge_name, seen_at) \
                     VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                    args,
                )
                .expect(1),
            );
            return Ok(Recognised::First);
        };
        if known.forge_id != self.id {
            // One that was confirmed meanwhile is the watched one, and is looked at again.
            let text = "UPDATE repo_identity SET other_id = $2, other_at = $3 \
                        WHERE repo = $1 AND forge_id <> $2";
            let args = vec![self.repo.as_str().into(), self.id.as_str().into(), self.at.into()];
            tx.write(Statement::new(text, args).expect(1));
            return Ok(Recognised::Other { known: known.forge_id });
        }
        if known.forge_name != self.name {
            tx.write(Statement::new(
                "UPDATE repo_identity SET forge_name = $2 WHERE repo = $1",
                vec![self.repo.as_str().into(), self.name.as_str().into()],
            ));
        }
        Ok(Recognised::Same)
    }

    fn touched(&self, _: &Recognised) -> Shards {
        Shards::NONE
    }
}

impl Op for Confirm {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let known = tx.fetch_optional(one(&self.repo)).await?;
        let known = known.map(|row| identity(&row)).transpose()?;
        if known.and_then(|known| known.other_id).as_deref() != Some(self.id.as_str()) {
            return Ok(false);
        }
        tx.write(
            Statement::new(
                "UPDATE repo_identity SET forge_id = $2, seen_at = $3, other_id = NULL, \
                 other_at = NULL WHERE repo = $1 AND other_id = $2",
                vec![self.repo.as_str().into(), self.id.as_str().into(), self.at.into()],
            )
            .expect(1),
        );
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

fn identity(row: &Row) -> Result<RepoIdentity, Error> {
    Ok(RepoIdentity {
        repo: row.text(0)?,
        forge_id: row.text(1)?,
        forge_name: row.text(2)?,
        seen_at: row.time(3)?,
        other_id: row.opt_text(4)?,
        other_at: row.opt_time(5)?,
    })
}
