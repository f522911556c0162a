//! Checks of the state directory, disk, configuration, database and object store.

use std::path::Path;

use plue_executor::disk::Bytes;
use plue_store::SCHEMA_VERSION;
use rustix::fs::{Access, access};

use crate::{app::App, failure::Failure, records::Check, wiring};

/// Whether the state directory can be written. Nothing is made: looking must not change anything.
pub(super) fn state_dir(app: &App) -> Check {
    let path = &app.loaded.config.state_dir;
    let what = "state directory";
    let shown = path.display();
    let Some(there) = path.ancestors().find(|folder| folder.exists()) else {
        return Check::fail(
            what,
            format!("{shown} is nowhere"),
            "looked for it",
            "name another one with --state-dir",
        );
    };
    let how = format!("asked for write access to {}", there.display());
    if !there.is_dir() {
        return Check::fail(
            what,
            format!("{} is no directory", there.display()),
            how,
            "name another one with --state-dir",
        );
    }
    match access(there, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if there == path => Check::ok(what, shown.to_string(), how),
        Ok(()) => Check::ok(what, format!("{shown}, made by the first run"), how),
        Err(error) => Check::fail(
            what,
            format!("{shown} cannot be written: {error}"),
            how,
            "name another one with --state-dir or PLUE_STATE_DIR",
        ),
    }
}

/// Whether the disk has room for runs of forks.
pub(super) fn disk(app: &App) -> Check {
    let (what, how) = ("disk", "asked the file system of the state directory");
    let path = &app.loaded.config.state_dir;
    let there = path.ancestors().find(|folder| folder.exists()).unwrap_or(path);
    let (space, low) = app.loaded.config.limits.low_water().reached(there);
    match (space, low) {
        (Some(space), None) => Check::ok(what, format!("{} free", Bytes(space.free)), how),
        (_, low) => Check::warn(
            what,
            low.unwrap_or_default(),
            how,
            "free some of it, or lower limits.min_free_bytes and limits.min_free_percent: until then a \
             server starts no runs of forks",
        ),
    }
}

/// That a configuration was read; a wrong one ends every command before it begins.
pub(super) fn configuration(app: &App) -> Check {
    let files: std::collections::BTreeSet<String> = app
        .loaded
        .origins
        .values()
        .filter_map(|origin| match origin {
            crate::config::ValueOrigin::File(path) => Some(path.display().to_string()),
            crate::config::ValueOrigin::Default
            | crate::config::ValueOrigin::Variable(_)
            | crate::config::ValueOrigin::Flag(_) => None,
        })
        .collect();
    let files: Vec<_> = files.into_iter().collect();
    let found =
        if files.is_empty() { "no file sets anything".to_owned() } else { files.join(", ") };
    Check::ok("configuration", found, "read all layers; `plue config show --origin` lists them")
}

/// Whether the database opens, and its schema.
pub(super) async fn database(app: &App) -> Check {
    let what = "database";
    let url = shown(&app.loaded.database_url());
    let path = url.strip_prefix("sqlite:").map(Path::new);
    if path.is_some_and(|path| !path.exists()) {
        let found = format!("{url}, made by the first run with schema version {SCHEMA_VERSION}");
        return Check::ok(what, found, "looked for the file");
    }
    let how = "opened it";
    match wiring::open_existing(app).await {
        Ok(store) => {
            store.close().await;
            Check::ok(what, format!("{url}, schema version {SCHEMA_VERSION}"), how)
        }
        Err(Failure { diagnostics, .. }) => {
            let first = diagnostics.into_iter().next();
            let (found, fix) = first.map_or((String::new(), None), |one| (one.message, one.hint));
            let fix = fix.unwrap_or_else(|| "name another one with --database".to_owned());
            Check::fail(what, format!("{url}: {found}"), how, &fix)
        }
    }
}

/// Whether the object store takes, gives and removes an object; nothing if there is none.
pub(super) async fn objects(app: &App) -> Option<Check> {
    let what = "object store";
    let url = app.loaded.config.objects.url.clone()?;
    let how = "wrote, read, listed and removed an object";
    let checked = match wiring::bucket(app) {
        Ok(Some(bucket)) => bucket.check().await.map_err(|error| error.to_string()),
        Ok(None) => return None,
        Err(failure) => {
            let first = failure.diagnostics.into_iter().next();
            Err(first.map_or_else(String::new, |one| one.message))
        }
    };
    Some(match checked {
        Ok(()) => Check::ok(what, url, how),
        Err(error) => Check::fail(
            what,
            format!("{url}: {error}"),
            how,
            "look at `objects` in config.toml, and at what its key may do",
        ),
    })
}

/// Without what may be a password.
fn shown(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
        (_, _) => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_password_is_not_shown() {
        assert_eq!(shown("postgres://u:p@ss@h/db"), "postgres://***@h/db");
        assert_eq!(shown("sqlite:/home/a@b/plue.db"), "sqlite:/home/a@b/plue.db");
    }
}
