//! The thin layer between our statements and two databases: arguments, rows, and a transaction that
//! holds writes back until it must send them, so that several travel together.
//!
//! A statement is written once, with `$1`-placeholders. Columns are whole numbers (64 bits), text or
//! bytes, nothing else.

mod row;
mod statement;
mod tx;

pub(crate) use row::Row;
pub(crate) use statement::{Arg, Statement, among, insert_rows, placeholders};
pub(crate) use tx::{Dialect, Link, Tx};
