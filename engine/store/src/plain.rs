//! Writes that nobody asks back about: a few statements, one transaction.

use crate::{
    changes::Shards,
    error::Error,
    op::Op,
    sql::{Statement, Tx},
};

/// Statements that are run as they are.
#[derive(Debug)]
pub(crate) struct Plain(pub(crate) Vec<Statement>);

impl Op for Plain {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        tx.write_all(self.0.clone());
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}
