//! The schema: numbered files of `migrations/`, the same names for both databases, each applied once.
//!
//! Must not change data that a later program cannot read back: a database that a newer plue has
//! migrated is refused, never touched.

use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use crate::{
    error::Error,
    sql::{Dialect, Link, Statement, Tx},
};

/// One step of the schema.
struct Migration {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! migrations {
    ($($version:literal $name:literal),+ $(,)?) => {
        &[$(Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../../../migrations/postgres/", $name, ".sql")),
        }),+]
    };
}

const MIGRATIONS: &[Migration] = migrations![
    1 "0001_init",
    2 "0002_blobs",
    3 "0003_decisions",
    4 "0004_secrets",
    5 "0005_api",
    6 "0006_repo",
    7 "0007_engines",
    8 "0008_sessions",
    9 "0009_feedback",
    10 "0010_forks",
    11 "0011_login",
    12 "0012_webhooks",
    13 "0013_shelf",
    14 "0014_place",
    15 "0015_topics",
    16 "0016_identity",
    17 "0017_intake",
    18 "0018_places",
    20 "0020_deaths",
    22 "0022_scopes",
    24 "0024_pauses",
    25 "0025_claude",
    26 "0026_delivery_queue",
    27 "0027_obstacle_kinds",
    28 "0028_budgets",
    29 "0029_tokens",
    30 "0030_log_seq",
    31 "0031_call_decisions",
    32 "0032_mcp",
    33 "0033_pools",
    34 "0034_test_reports",
    35 "0035_run_lists",
    36 "0036_remote_runners",
    37 "0037_runner_demand",
    38 "0038_saved_views",
];

/// The schema version that this program makes and knows.
pub const SCHEMA_VERSION: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// The version the database has; 0 if it is empty.
pub(crate) async fn version(link: Link<'_>) -> Result<i64, Error> {
    let mut tx = Tx::new(link);
    let exists = match tx.dialect() {
        Dialect::Sqlite => "SELECT count(*) FROM sqlite_master WHERE name = 'plue_schema'",
        Dialect::Postgres => {
            "SELECT count(*) FROM pg_tables \
             WHERE tablename = 'plue_schema' AND schemaname = current_schema()"
        }
    };
    let table = tx.fetch_optional(Statement::new(exists, Vec::new())).await?;
    if table.map_or(Ok(0), |row| row.int(0))? == 0 {
        return Ok(0);
    }
    let text = "SELECT COALESCE(MAX(version), 0) FROM plue_schema";
    let row = tx.fetch_optional(Statement::new(text, Vec::new())).await?;
    row.map_or(Ok(0), |row| row.int(0))
}

/// Refuses a database of a newer plue.
pub(crate) fn check(found: i64) -> Result<(), Error> {
    if found > SCHEMA_VERSION {
        return Err(Error::NewerDatabase { found, known: SCHEMA_VERSION });
    }
    Ok(())
}

/// Applies what is missing, inside the transaction that `link` is in; the caller has locked the
/// database against another process that does the same.
pub(crate) async fn apply(mut link: Link<'_>, now: Timestamp) -> Result<(), Error> {
    let start = "CREATE TABLE IF NOT EXISTS plue_schema (\
                 version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)";
    script(&mut link, start).await?;
    let found = version(reborrow(&mut link)).await?;
    check(found)?;
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        let text = match link {
            Link::Sqlite(_) => migration.sqlite,
            Link::Postgres(_) => migration.postgres,
        };
        script(&mut link, text).await?;
        let mut tx = Tx::new(reborrow(&mut link));
        tx.write(Statement::new(
            "INSERT INTO plue_schema (version, name, applied_at) VALUES ($1, $2, $3)",
            vec![migration.version.into(), migration.name.into(), now.into()],
        ));
        tx.flush().await?;
    }
    Ok(())
}

async fn script(link: &mut Link<'_>, text: &str) -> Result<(), Error> {
    let script = sqlx::raw_sql(AssertSqlSafe(text));
    match link {
        Link::Sqlite(connection) => script.execute(&mut **connection).await.map(|_| ())?,
        Link::Postgres(connection) => script.execute(&mut **connection).await.map(|_| ())?,
    }
    Ok(())
}

fn reborrow<'a>(link: &'a mut Link<'_>) -> Link<'a> {
    match link {
        Link::Sqlite(connection) => Link::Sqlite(connection),
        Link::Postgres(connection) => Link::Postgres(connection),
    }
}
