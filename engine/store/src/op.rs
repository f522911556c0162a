//! One unit of writing: a value that can be run inside a transaction, and run again if the
//! transaction had to be rolled back.

use std::{any::Any, future::Future, pin::Pin};

use crate::{
    changes::Shards,
    error::Error,
    probe::Call,
    sql::{Statement, Tx},
};

/// A write. Rules:
/// - all reads come before the first write, so that a refusal (part of [`Op::Out`]) leaves nothing
///   behind in a group commit;
/// - it can be run again from the start.
pub(crate) trait Op: Send + Sync + 'static {
    type Out: Send + 'static;

    /// Runs inside a transaction.
    fn run<'a>(
        &'a self,
        tx: &'a mut Tx<'_>,
    ) -> impl Future<Output = Result<Self::Out, Error>> + Send + 'a;

    /// Whether whatever it has read is asked for again by what it writes: by
    /// [`Statement::expect`](crate::sql::Statement::expect), or by a key that must be new. Postgres
    /// then reads without a transaction and writes with one statement, which is two round trips
    /// instead of five. It must read: a connection that broke while it was idle is noticed by the
    /// first statement, and a write would not know whether it was stored.
    const CHECKS_AGAIN: bool = false;

    /// Whose watchers to wake after the commit.
    fn touched(&self, out: &Self::Out) -> Shards;
}

/// An [`Op`] without its type: what carries writes to the database is compiled once, not once per
/// kind of write and crate.
pub(crate) trait ErasedOp: Send + Sync {
    /// The write as a probe sees it.
    fn call(&self) -> Call;

    /// [`Op::CHECKS_AGAIN`].
    fn checks_again(&self) -> bool;

    /// [`Op::run`], and [`Op::touched`] of its answer.
    fn run_erased<'a>(&'a self, tx: &'a mut Tx<'_>) -> ErasedRun<'a>;
}

/// A write under way.
pub(crate) type ErasedRun<'a> = Pin<Box<dyn Future<Output = Result<Written, Error>> + Send + 'a>>;

/// Answer of a write that may not be committed yet.
pub(crate) struct Written {
    /// An [`Op::Out`].
    pub(crate) out: Box<dyn Any + Send>,
    /// Watchers to wake after the commit.
    pub(crate) touched: Shards,
}

impl<O: Op> ErasedOp for O {
    fn call(&self) -> Call {
        Call::of::<O>()
    }

    fn checks_again(&self) -> bool {
        O::CHECKS_AGAIN
    }

    fn run_erased<'a>(&'a self, tx: &'a mut Tx<'_>) -> ErasedRun<'a> {
        Box::pin(async move {
            let out = self.run(tx).await?;
            let touched = self.touched(&out);
            Ok(Written { out: Box::new(out), touched })
        })
    }
}

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
