//! Untrusted commits: held until a maintainer allows them.

use jiff::Timestamp;

use crate::{
    changes::Shards,
    delivery::{InHand, REOPENED, Settlement, hand::IN_HAND},
    error::Error,
    handles::Untrusted,
    op::Op,
    repo,
    sql::{Arg, Statement, Tx},
};

struct SettleHeld {
    /// The arguments of [`IN_HAND`].
    hand: Vec<Arg>,
    repo: String,
    sha: String,
    settles: Statement,
    knew: bool,
    at: Timestamp,
}

struct Allow {
    repo: String,
    sha: String,
    by: String,
    at: Timestamp,
}

impl Untrusted<'_> {
    /// Settles a delivery whose plans wait until its commit is allowed. `false`, and nothing is
    /// changed: it is allowed by now, and the caller did not know (`knew`). Then it is to be
    /// processed again. With `knew` it is held nevertheless. Does nothing for a delivery that is
    /// not claimed any more.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn settle_held(
        self,
        delivery: impl Into<InHand<'_>>,
        (repo, sha): (&str, &str),
        (settlement, knew): (&Settlement, bool),
        at: Timestamp,
    ) -> Result<bool, Error> {
        let (repo, sha) = (repo.to_owned(), sha.to_owned());
        let delivery = delivery.into();
        let (hand, settles) = (delivery.args(), settlement.statement(delivery)?);
        self.store.write(SettleHeld { hand, repo, sha, settles, knew, at }).await
    }

    /// Maintainer who allowed an untrusted commit; `None`: not allowed yet.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn allowed_by(self, repo: &str, sha: &str) -> Result<Option<String>, Error> {
        let text = "SELECT allowed_by FROM allowed WHERE repo = $1 AND sha = $2";
        let row = self.store.read_one(Statement::new(text, vec![repo.into(), sha.into()])).await?;
        row.map(|row| row.text(0)).transpose()
    }

    /// Lets a commit run: the deliveries that wait for it are taken in again. How many; 0 also while
    /// the only one is still worked on. Others that are worked on at this moment find out when they
    /// are settled ([`Self::settle_held`]).
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn allow(self, repo: &str, sha: &str, by: &str, at: Timestamp) -> Result<u64, Error> {
        let (repo, sha, by) = (repo.to_owned(), sha.to_owned(), by.to_owned());
        self.store.write(Allow { repo, sha, by, at }).await
    }
}

impl Op for SettleHeld {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        // Of one who allows a commit and one who settles a delivery as held, the second sees what the
        // first did.
        repo::one_at_a_time(tx, &self.repo).await?;
        let lock = crate::fence::lock(tx.dialect());
        let text = format!("SELECT 1 FROM delivery WHERE {IN_HAND}{lock}");
        if tx.fetch_optional(Statement::new(text, self.hand.clone())).await?.is_none() {
            return Ok(true);
        }
        let commit = || vec![self.repo.as_str().into(), self.sha.as_str().into()];
        let text = "SELECT allowed_by FROM allowed WHERE repo = $1 AND sha = $2";
        let allowed = tx.fetch_optional(Statement::new(text, commit())).await?;
        if allowed.is_some() && !self.knew {
            return Ok(false);
        }
        let mut args = commit();
        args.extend(self.hand.iter().take(3).cloned());
        args.push(self.at.into());
        tx.write(Statement::new(
            "INSERT INTO held (repo, sha, forge, hook, delivery, held_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            args,
        ));
        tx.write(self.settles.clone());
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

impl Op for Allow {
    type Out = u64;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<u64, Error> {
        repo::one_at_a_time(tx, &self.repo).await?;
        let key = || vec![self.repo.as_str().into(), self.sha.as_str().into()];
        let text = "SELECT count(*) FROM held WHERE repo = $1 AND sha = $2";
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
        // One that is worked on again finds out when it is settled.
        let text = format!(
            "UPDATE delivery SET {REOPENED} WHERE (state <> 'new' OR taken_by IS NULL) AND EXISTS (\
             SELECT 1 FROM held WHERE held.repo = $1 AND held.sha = $2 AND \
             held.forge = delivery.forge AND held.hook = delivery.hook AND \
             held.delivery = delivery.id)"
        );
        tx.write(Statement::new(text, key()));
        tx.write(Statement::new("DELETE FROM held WHERE repo = $1 AND sha = $2", key()));
        Ok(held)
    }

    fn touched(&self, _: &u64) -> Shards {
        Shards::ALL
    }
}
