//! One unit of writing: a value that can be run inside a transaction, and run again if the
//! transaction had to be rolled back.

use std::future::Future;

use crate::{changes::Shards, error::Error, sql::Tx};

/// A write. Rules:
/// - all reads come before the first write, so that a refusal (part of [`Op::Out`]) leaves nothing
///   behind in a group commit;
/// - it can be run again from the start.
pub(crate) trait Op: Send + Sync + 'static {
    /// The answer.
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
