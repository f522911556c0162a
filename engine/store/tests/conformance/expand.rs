//! Expand first, contract later: a database of every older schema, filled with sample rows, reads back
//! the same after the migrations that are missing, and what an older program writes fits the newest
//! tables. `cargo xtask tidy` refuses migrations that take away (xtask/src/tidy/migrations.rs).
//!
//! `samples/NNNN_name.sql` writes what the program of that schema writes: a migration that adds a table
//! comes with one.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use plue_plan::{AttemptId, RunId};
use plue_store::{LogRange, SCHEMA_VERSION, Store, StoreOptions, blob};
use plue_testkit::postgres::Database;

/// A database that is still empty.
enum Place {
    File(tempfile::TempDir),
    Server(Database),
}

/// A migration, and rows as its program writes them.
struct Step {
    version: i64,
    name: String,
    sqlite: String,
    postgres: String,
    sample: Option<String>,
}

/// The rows of each table, sorted, of the columns that are named.
type Rows = BTreeMap<String, Vec<String>>;

// === impl Place ===

impl Place {
    fn sqlite() -> Self {
        Self::File(tempfile::tempdir().unwrap())
    }

    fn postgres() -> Self {
        Self::Server(Database::create())
    }

    fn sql(&self, text: &str) -> String {
        let folder = match self {
            Self::Server(database) => return database.psql(text),
            Self::File(folder) => folder,
        };
        let mut shell = Command::new("sqlite3");
        let foreign = "PRAGMA foreign_keys = ON";
        shell.args(["-bail", "-cmd", ".timeout 10000", "-cmd", foreign]);
        // A text that begins with a remark would be taken for an option.
        let text = format!(" {text}");
        let output = shell.arg(folder.path().join("plue.db")).arg(&text).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{text}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn options(&self) -> StoreOptions {
        match self {
            Self::File(folder) => StoreOptions::sqlite(&folder.path().join("plue.db")),
            Self::Server(database) => StoreOptions::new(database.url()),
        }
    }

    /// What the program of this version has made of an empty database.
    fn migrate(&self, step: &Step) {
        let text = match self {
            Self::File(_) => &step.sqlite,
            Self::Server(_) => &step.postgres,
        };
        self.sql(
            "CREATE TABLE IF NOT EXISTS plue_schema (version BIGINT NOT NULL PRIMARY KEY, \
             name TEXT NOT NULL, applied_at BIGINT NOT NULL)",
        );
        self.sql(text);
        let (version, name) = (step.version, &step.name);
        self.sql(&format!("INSERT INTO plue_schema VALUES ({version}, '{name}', 0)"));
    }

    /// Writes sample rows; `{…}` are bytes in hexadecimal digits.
    fn fill(&self, step: &Step) {
        let Some(sample) = &step.sample else { return };
        let bytes = |digits: &str| match self {
            Self::File(_) => format!("X'{digits}'"),
            Self::Server(_) => format!("'\\x{digits}'"),
        };
        let mut text = String::new();
        for part in sample.split_inclusive('}') {
            let digits = part.rsplit_once('{').map(|(_, tail)| tail.trim_end_matches('}'));
            let is_bytes = |digits: &&str| {
                !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            };
            match digits.filter(is_bytes) {
                Some(digits) => {
                    let before = &part[..part.len() - digits.len() - 2];
                    text.push_str(&format!("{before}{}", bytes(digits)));
                }
                None => text.push_str(part),
            }
        }
        self.sql(&text);
    }

    /// The columns of each table.
    fn columns(&self) -> BTreeMap<String, Vec<String>> {
        let text = match self {
            Self::File(_) => {
                "SELECT m.name || '|' || c.name FROM sqlite_master m, pragma_table_info(m.name) c \
                 WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> 'plue_schema'"
            }
            Self::Server(_) => {
                "SELECT table_name || '|' || column_name FROM information_schema.columns \
                 WHERE table_schema = 'public' AND table_name <> 'plue_schema'"
            }
        };
        let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in self.sql(text).lines() {
            let (table, column) = line.split_once('|').unwrap();
            columns.entry(table.to_owned()).or_default().push(column.to_owned());
        }
        columns
    }

    fn rows(&self, columns: &BTreeMap<String, Vec<String>>) -> Rows {
        let each = columns.iter().map(|(table, columns)| {
            let shown = columns.iter().map(|column| match self {
                Self::File(_) => format!("quote({column})"),
                Self::Server(_) => format!("COALESCE({column}::text, 'NULL')"),
            });
            let shown = shown.collect::<Vec<_>>().join(" || ' ; ' || ");
            format!("SELECT '{table}: ' || {shown} FROM {table}")
        });
        let text = self.sql(&each.collect::<Vec<_>>().join(" UNION ALL "));
        let mut rows: Rows = columns.keys().map(|table| (table.clone(), Vec::new())).collect();
        for line in text.lines() {
            let (table, row) = line.split_once(": ").unwrap();
            rows.get_mut(table).unwrap().push(row.to_owned());
        }
        rows.values_mut().for_each(|rows| rows.sort());
        rows
    }
}

fn steps() -> Vec<Step> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("../../migrations");
    let samples = root.join("tests/conformance/samples");
    let mut steps = Vec::new();
    for entry in fs::read_dir(folder.join("sqlite")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let name = file.strip_suffix(".sql").unwrap().to_owned();
        steps.push(Step {
            version: name.split('_').next().unwrap().parse().unwrap(),
            sqlite: fs::read_to_string(folder.join("sqlite").join(&file)).unwrap(),
            postgres: fs::read_to_string(folder.join("postgres").join(&file)).unwrap(),
            sample: fs::read_to_string(samples.join(&file)).ok(),
            name,
        });
    }
    steps.sort_by_key(|step| step.version);
    assert_eq!(steps.last().unwrap().version, SCHEMA_VERSION);
    steps
}

/// What every program of since then reads through the store.
async fn reads_back(store: &Store, version: i64) {
    let run = RunId::new("r1");
    assert_eq!(store.runs().get(&run).await.unwrap().unwrap().seq, 2);
    assert_eq!(store.journal().after(&run, 0, 10).await.unwrap().len(), 2);
    assert_eq!(store.outputs().source_of_run(&run).await.unwrap().unwrap().source, ".plue.py");
    assert_eq!(store.runs().steps(&run).await.unwrap().len(), 1);
    let attempts = store.attempts().list(&run, None).await.unwrap();
    assert_eq!(attempts.len(), 1);
    let id = AttemptId::new("r1:build:1:1");
    let log = store.logs().read(&id, LogRange::After(0, 1_000)).await.unwrap();
    let log: Vec<u8> = log.into_iter().flat_map(|piece| piece.bytes).collect();
    assert_eq!(log, b"hello\n\0\xff\n");
    assert_eq!(store.runs().unfinished().await.unwrap().len(), 1);
    assert!(!store.engines().list().await.unwrap().is_empty());
    if version >= 2 {
        let files = store.artifacts().list(&run).await.unwrap();
        let content = store.blobs().whole(&files[0].blob, blob::INLINE_BYTES).await.unwrap();
        assert_eq!(content.unwrap(), b"hello");
        assert_eq!(store.checkpoints().list(&run).await.unwrap().len(), 1);
    }
    if version >= 5 {
        assert_eq!(store.tokens().list().await.unwrap().len(), 1);
    }
    if version >= 6 {
        assert_eq!(store.repos().list().await.unwrap().len(), 1);
    }
    if version >= 9 {
        assert!(store.reports().forge_reporter("acme/app").await.unwrap().is_some());
    }
}

/// From each older version, filled up to it: nothing is lost or changed on the way to the newest.
async fn every_older_database_reads_back(make: fn() -> Place) {
    let steps = steps();
    for from in 0..steps.len() {
        let place = make();
        for step in &steps[..=from] {
            place.migrate(step);
            place.fill(step);
        }
        let version = steps[from].version;
        let columns = place.columns();
        let before = place.rows(&columns);
        for (table, rows) in &before {
            assert!(!rows.is_empty(), "no sample for {table} at version {version}");
        }
        // Several at once: one migrates, and the others wait for it.
        let opened = (0..3).map(|_| Store::open(place.options()));
        let opened = futures::future::join_all(opened).await;
        let store = opened.into_iter().map(Result::unwrap).next_back().unwrap();
        reads_back(&store, version).await;
        assert_eq!(place.rows(&columns), before, "from version {version}");
        let applied = place.sql("SELECT count(*) FROM plue_schema");
        assert_eq!(applied.trim(), steps.len().to_string());
    }
}

/// What the program of each version writes fits the newest tables: an engine that is not yet replaced
/// goes on beside one that has migrated.
async fn what_older_programs_write_fits(make: fn() -> Place) {
    let place = make();
    drop(Store::open(place.options()).await.unwrap());
    let steps = steps();
    for step in &steps {
        place.fill(step);
    }
    let store = Store::open(place.options()).await.unwrap();
    reads_back(&store, SCHEMA_VERSION).await;
    for (table, rows) in place.rows(&place.columns()) {
        assert!(!rows.is_empty(), "no sample for {table}");
    }
}

#[tokio::test]
async fn a_file_of_every_older_schema_reads_back_after_migrating() {
    every_older_database_reads_back(Place::sqlite).await;
}

#[tokio::test]
async fn a_server_of_every_older_schema_reads_back_after_migrating() {
    every_older_database_reads_back(Place::postgres).await;
}

#[tokio::test]
async fn what_older_programs_write_fits_the_newest_file() {
    what_older_programs_write_fits(Place::sqlite).await;
}

#[tokio::test]
async fn what_older_programs_write_fits_the_newest_server() {
    what_older_programs_write_fits(Place::postgres).await;
}
