//! Fences: numbers that only grow, over all attempts of a database. A block of [`BLOCK`] is taken with
//! the read that a transaction begins with, so that fences cost no statement of their own.

use crate::sql::{Dialect, Statement, Tx};

/// Fences in a block; at most so many attempts are assigned in one transaction.
pub(crate) const BLOCK: usize = 64;

/// The expression that gives the first fence of the block.
pub(crate) fn expression(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "(SELECT next FROM fence)",
        Dialect::Postgres => "nextval('fence_seq')",
    }
}

/// Marks the block as taken, where the expression has not done so.
pub(crate) fn take(tx: &mut Tx<'_>) {
    match tx.dialect() {
        Dialect::Sqlite => {
            tx.write(Statement::new("UPDATE fence SET next = next + 64 WHERE id = 1", Vec::new()));
        }
        Dialect::Postgres => {}
    }
}

/// Locks the rows of a read until the end of the transaction. SQLite's writer holds the whole file.
pub(crate) fn lock(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "",
        // Not FOR UPDATE: that would also stop rows from being inserted that refer to these.
        Dialect::Postgres => " FOR NO KEY UPDATE",
    }
}
