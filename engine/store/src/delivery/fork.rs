//! Commits of strangers: held until a maintainer lets them run.

use jiff::Timestamp;

use crate::{
    changes::Shards,
    delivery::DeliveryRow,
    error::Error,
    op::Op,
    plain::Plain,
    sql::{Statement, Tx},
    store::Store,
};

struct Allow {
    repo: String,
    sha: String,
    by: String,
    at: Timestamp,
}

impl Store {
    /// Puts down that plans of a delivery wait until its commit may run.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn hold(
        &self,
        repo: &str,
        sha: &str,
        delivery: &DeliveryRow,
        at: Timestamp,
    ) -> Result<(), Error> {
        let text = "INSERT INTO held (repo, sha, forge, hook, delivery, held_at) \
                    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        let args = vec![
            repo.into(),
            sha.into(),
            delivery.forge.as_str().into(),
            delivery.hook.as_str().into(),
            delivery.id.as_str().into(),
            at.into(),
        ];
        self.write(Plain(vec![Statement::new(text, args)])).await
    }

    /// Who lets a commit of a stranger run; `None`: nobody yet.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn allowed_by(&self, repo: &str, sha: &str) -> Result<Option<String>, Error> {
        let text = "SELECT allowed_by FROM allowed WHERE repo = $1 AND sha = $2";
        let row = self.read_one(Statement::new(text, vec![repo.into(), sha.into()])).await?;
        row.map(|row| row.text(0)).transpose()
    }

    /// Lets a commit run: the deliveries that wait for it are taken in again. How many; 0 also while
    /// the only one is still worked on.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn allow(
        &self,
        repo: &str,
        sha: &str,
        by: &str,
        at: Timestamp,
    ) -> Result<u64, Error> {
        let (repo, sha, by) = (repo.to_owned(), sha.to_owned(), by.to_owned());
        self.write(Allow { repo, sha, by, at }).await
    }
}

impl Op for Allow {
    type Out = u64;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<u64, Error> {
        let key = || vec![self.repo.as_str().into(), self.sha.as_str().into()];
        // One that is still worked on would be settled after this, and its answer lost.
        let text = "SELECT count(*) FROM held h JOIN delivery d ON d.forge = h.forge \
                    AND d.hook = h.hook AND d.id = h.delivery \
                    WHERE h.repo = $1 AND h.sha = $2 AND d.state <> 'new'";
        let row = tx.fetch_optional(Statement::new(text, key())).await?;
        let held = row.map_or(Ok(0), |row| row.count(0))?;
        if held == 0 {
            return Ok(0);
        }
        let mut args = key();
        args.extend([self.by.as_str().into(), self.at.into()]);
        tx.write(Statement::new(
            "INSERT INTO allowed (repo, sha, allowed_by, allowed_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT DO NOTHING",
            args,
        ));
        tx.write(Statement::new(
            "UPDATE delivery SET state = 'new', note = NULL, taken_by = NULL WHERE EXISTS (\
             SELECT 1 FROM held WHERE held.repo = $1 AND held.sha = $2 AND \
             held.forge = delivery.forge AND held.hook = delivery.hook AND \
             held.delivery = delivery.id)",
            key(),
        ));
        tx.write(Statement::new("DELETE FROM held WHERE repo = $1 AND sha = $2", key()));
        Ok(held)
    }

    fn touched(&self, _: &u64) -> Shards {
        Shards::ALL
    }
}
