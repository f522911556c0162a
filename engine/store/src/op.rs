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

    /// Whose watchers to wake after the commit.
    fn touched(&self, out: &Self::Out) -> Shards;
}
