//! `plue backup` and `plue restore`: everything that plue keeps, in one file.

use std::path::{Path, PathBuf};

use plue_archive::backup;
use plue_runtime::Clock;
use serde_json::json;

use crate::{
    app::App,
    exit::Exit,
    failure::{Failure, Outcome, from_postgres, from_store},
    output,
    trail::Change,
    wiring,
};

/// `plue backup`
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    /// The file to write; it must not exist
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `plue restore`
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// A file that `plue backup` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

pub(super) fn run(args: &BackupArgs, app: &App) -> Outcome {
    if args.file.exists() {
        let message = format!("{} is there already", args.file.display());
        return Err(Failure::usage(message).hint("name another file"));
    }
    let io = |error: std::io::Error| Failure::infrastructure(&error);
    // In the same folder, so that a rename publishes only a complete backup.
    let parent = args.file.parent().filter(|path| !path.as_os_str().is_empty());
    let folder = tempfile::tempdir_in(parent.unwrap_or_else(|| Path::new("."))).map_err(io)?;
    let (database, name) = wiring::block_on(copied(folder.path(), app))?;
    let blobs = match &app.loaded.config.objects.url {
        Some(_) => folder.path().join("blobs"),
        None => blobs(app),
    };
    let head = backup::head(name, Clock::real().now().to_string());
    let draft = folder.path().join("backup");
    let file = private(&draft).map_err(io)?;
    backup::write(file, &head, &database, &blobs).map_err(io)?;
    std::fs::rename(&draft, &args.file).map_err(io)?;
    if app.verbosity >= 0 {
        output::report(&format!("everything is in {}", args.file.display()));
        output::report(
            "the key that secrets are sealed with is not in it: keep that one elsewhere",
        );
    }
    Ok(Exit::Ok)
}

async fn copied(folder: &Path, app: &App) -> Result<(PathBuf, &'static str), Failure> {
    let store = wiring::open_existing(app).await?;
    let copy = folder.join(backup::SQLITE);
    let text = copy.to_str().ok_or_else(|| Failure::usage("the path is not UTF-8"))?;
    let copied = if store.copy_to(text).await.map_err(|error| from_store(&error))? {
        (copy, backup::SQLITE)
    } else {
        let dump = folder.join(backup::POSTGRES);
        backup::postgres::dump(&app.loaded.database_url(), &dump)
            .map_err(|error| from_postgres(&error))?;
        (dump, backup::POSTGRES)
    };
    if app.loaded.config.objects.url.is_some() {
        // Behind the database: what it names is still there.
        let all = store.blob_files().copy_to(&folder.join("blobs")).await;
        all.map_err(|error| from_store(&error))?;
    }
    Ok(copied)
}

pub(super) fn restore(args: &RestoreArgs, app: &App) -> Outcome {
    let io = |error: std::io::Error| Failure::infrastructure(&error);
    let state = &app.loaded.config.state_dir;
    std::fs::create_dir_all(state).map_err(io)?;
    let folder = tempfile::tempdir_in(state).map_err(io)?;
    let head = backup::unpack(&args.file, folder.path())
        .map_err(|error| Failure::usage(format!("{}: {error}", args.file.display())))?;
    let database = folder.path().join(&head.database);
    let other = |what: &str| {
        Failure::usage(format!("the backup is of {what}, and the database here is not"))
            .hint("set `database` (PLUE_DATABASE) to one of the same kind")
    };
    let file = wiring::options(app).file();
    let elsewhere = wiring::bucket(app)?.is_some();
    match (head.database.as_str(), file) {
        (backup::SQLITE, Some(file)) => {
            if file.exists() {
                return Err(Failure::usage(format!("{} is there already", file.display()))
                    .hint("restore into a new --state-dir; nothing is overwritten"));
            }
            if !elsewhere {
                backup::place_blobs(folder.path(), &blobs(app)).map_err(io)?;
            }
            std::fs::rename(&database, &file).map_err(io)?;
        }
        (backup::POSTGRES, None) => {
            if !elsewhere {
                backup::place_blobs(folder.path(), &blobs(app)).map_err(io)?;
            }
            backup::postgres::restore(&app.loaded.database_url(), &database)
                .map_err(|error| from_postgres(&error))?;
        }
        (backup::SQLITE, None) => return Err(other("SQLite")),
        (_, _) => return Err(other("Postgres")),
    }
    // Of an older plue: migrated now.
    wiring::block_on(async {
        let store = wiring::open_store(app).await?;
        // The database that the backup is of may live on, and own the objects of its bucket.
        store.blob_files().forget_place().await.map_err(|error| from_store(&error))?;
        if elsewhere {
            let placed = store.blob_files().place_from(&folder.path().join("blobs")).await;
            placed.map_err(|error| from_store(&error))?;
        }
        let made_at = json!({"made_at": head.made_at});
        Change::new("database.restore", &args.file.display().to_string())
            .with(made_at)
            .note(&store)
            .await
    })?;
    if app.verbosity >= 0 {
        output::report(&format!("restored what was kept at {}", head.made_at));
    }
    Ok(Exit::Ok)
}

fn blobs(app: &App) -> PathBuf {
    app.loaded.config.state_dir.join("blobs")
}

fn private(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
