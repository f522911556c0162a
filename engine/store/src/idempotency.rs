//! Results of repeated requests (draft-ietf-httpapi-idempotency-key-header): the id of the thing is
//! fixed before the thing is made, so that a second request, also one after a crash, finds it or
//! makes the same.

use jiff::Timestamp;

use crate::{
    changes::Shards,
    error::Error,
    handles::Idempotency,
    op::Op,
    sql::{Statement, Tx},
};

/// The thing that a key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// SHA-256 of the request that brought the key first.
    pub request: String,
    /// The id of what it makes.
    pub subject: String,
}

struct Reserve {
    principal: String,
    key: String,
    wanted: Reservation,
    at: Timestamp,
}

impl Idempotency<'_> {
    /// Reserves a key for a request; the answer is what the key stands for from now on: the wanted
    /// reservation, or an earlier one.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn reserve(
        self,
        principal: &str,
        key: &str,
        wanted: Reservation,
        at: Timestamp,
    ) -> Result<Reservation, Error> {
        let (principal, key) = (principal.to_owned(), key.to_owned());
        self.store.write(Reserve { principal, key, wanted, at }).await
    }
}

impl Op for Reserve {
    type Out = Reservation;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Reservation, Error> {
        let text = "SELECT request, subject FROM idempotency WHERE principal = $1 AND key = $2";
        let args = vec![self.principal.as_str().into(), self.key.as_str().into()];
        if let Some(row) = tx.fetch_optional(Statement::new(text, args)).await? {
            return Ok(Reservation { request: row.text(0)?, subject: row.text(1)? });
        }
        let args = vec![
            self.principal.as_str().into(),
            self.key.as_str().into(),
            self.wanted.request.as_str().into(),
            self.wanted.subject.as_str().into(),
            self.at.into(),
        ];
        // Of two at once the second inserts nothing, and reads again.
        tx.write(
            Statement::new(
                "INSERT INTO idempotency (principal, key, request, subject, created_at) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
                args,
            )
            .expect(1),
        );
        Ok(self.wanted.clone())
    }

    fn touched(&self, _: &Reservation) -> Shards {
        Shards::NONE
    }
}
