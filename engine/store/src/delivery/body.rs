//! Signed deliveries are identified by their bodies: the delivery id is a header that only GitLab
//! signs, so that an attacker could replay an intercepted delivery under another id.

use jiff::{SignedDuration, Timestamp};

use crate::{
    changes::Shards,
    delivery::{DeliveryRow, DeliveryState, REOPENED, insert},
    error::Error,
    handles::Deliveries,
    op::Op,
    sql::{Arg, Statement, Tx},
};

/// Digests of bodies are kept for so long after the deliveries themselves.
pub(crate) const BODIES_KEPT: SignedDuration = SignedDuration::from_hours(365 * 24);

/// A delivery that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Neither its id nor its body is known: it is stored.
    New,
    /// It was here before and nothing came of it: it is worked on again.
    Again,
    /// It was here before.
    Known,
}

struct ReceiveSigned {
    delivery: DeliveryRow,
    digest: Option<String>,
}

struct Route {
    delivery: DeliveryRow,
    to: String,
    digest: Option<String>,
}

// === impl Received ===

impl Received {
    /// Whether it is worked on.
    #[must_use]
    pub const fn is_taken(self) -> bool {
        matches!(self, Self::New | Self::Again)
    }
}

impl Deliveries<'_> {
    /// Keeps a verified delivery of a forge, unless its id or the digest of its body is known. One of
    /// which nothing came is worked on again, under its first id.
    ///
    /// # Errors
    /// [`Error`] of the database; the caller must not acknowledge the delivery to the forge.
    pub async fn receive_signed(
        self,
        delivery: DeliveryRow,
        digest: Option<String>,
    ) -> Result<Received, Error> {
        self.store.write(ReceiveSigned { delivery, digest }).await
    }

    /// Notes that a delivery is about the repository of another hook. `false`: the same body came by that
    /// hook as well, as another delivery.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn route(
        self,
        delivery: &DeliveryRow,
        to: &str,
        digest: Option<String>,
    ) -> Result<bool, Error> {
        self.store.write(Route { delivery: delivery.clone(), to: to.to_owned(), digest }).await
    }
}

impl Op for ReceiveSigned {
    type Out = Received;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Received, Error> {
        let row = &self.delivery;
        let same = match &self.digest {
            Some(digest) => body(tx, (&row.forge, &row.hook, digest)).await?,
            None => None,
        };
        let (hook, id) = same.unwrap_or_else(|| (row.hook.clone(), row.id.clone()));
        let key = || -> Vec<Arg> {
            vec![row.forge.as_str().into(), hook.as_str().into(), id.as_str().into()]
        };
        let text = "SELECT state FROM delivery WHERE forge = $1 AND hook = $2 AND id = $3";
        let known = tx.fetch_optional(Statement::new(text, key())).await?;
        let Some(known) = known else {
            if (&hook, &id) != (&row.hook, &row.id) {
                return Ok(Received::Known);
            }
            if let Some(digest) = &self.digest {
                remember(tx, row, &row.hook, digest);
            }
            return Ok(match insert(tx, row).await? {
                true => Received::New,
                false => Received::Known,
            });
        };
        match known.parse(0)? {
            DeliveryState::New | DeliveryState::Done => Ok(Received::Known),
            DeliveryState::Ignored | DeliveryState::Failed => {
                // Of two at once the second finds it new, and perhaps in hand.
                let text = format!(
                    "UPDATE delivery SET {REOPENED}, body = $4 \
                     WHERE forge = $1 AND hook = $2 AND id = $3 AND state IN ('ignored', 'failed')"
                );
                let args = [key(), vec![Arg::Bytes(row.body.clone())]].concat();
                tx.write(Statement::new(text, args).expect(1));
                Ok(Received::Again)
            }
        }
    }

    fn touched(&self, received: &Received) -> Shards {
        if received.is_taken() { Shards::ALL } else { Shards::NONE }
    }
}

impl Op for Route {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let row = &self.delivery;
        if let Some(digest) = &self.digest {
            let own = (row.hook.clone(), row.id.clone());
            match body(tx, (&row.forge, &self.to, digest)).await? {
                None => remember(tx, row, &self.to, digest),
                Some(same) if same == own => {}
                Some(_) => return Ok(false),
            }
        }
        tx.write(Statement::new(
            "UPDATE delivery SET routed_to = $4 WHERE forge = $1 AND hook = $2 AND id = $3",
            vec![
                row.forge.as_str().into(),
                row.hook.as_str().into(),
                row.id.as_str().into(),
                self.to.as_str().into(),
            ],
        ));
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

/// The hook and the id of the delivery that first had a body.
async fn body(
    tx: &mut Tx<'_>,
    (forge, hook, digest): (&str, &str, &str),
) -> Result<Option<(String, String)>, Error> {
    let text = "SELECT came_by, delivery FROM delivery_body \
                WHERE forge = $1 AND hook = $2 AND digest = $3";
    let args = vec![forge.into(), hook.into(), digest.into()];
    let row = tx.fetch_optional(Statement::new(text, args)).await?;
    row.map(|row| Ok((row.text(0)?, row.text(1)?))).transpose()
}

/// Of two engines at once the second inserts nothing, and reads again.
fn remember(tx: &mut Tx<'_>, row: &DeliveryRow, hook: &str, digest: &str) {
    tx.write(
        Statement::new(
            "INSERT INTO delivery_body (forge, hook, digest, came_by, delivery, received_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            vec![
                row.forge.as_str().into(),
                hook.into(),
                digest.into(),
                row.hook.as_str().into(),
                row.id.as_str().into(),
                row.received_at.into(),
            ],
        )
        .expect(1),
    );
}

/// The time before which digests are forgotten.
pub(crate) fn bodies_before(deliveries_before: Timestamp) -> Timestamp {
    deliveries_before.checked_sub(BODIES_KEPT).unwrap_or(Timestamp::MIN)
}
