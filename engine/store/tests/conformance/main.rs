//! What every store must do, run on SQLite and on Postgres: the same test, the same answers.

#[macro_use]
mod support;

mod commits;
