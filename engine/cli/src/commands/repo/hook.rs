//! The hooks of a bare repository on this machine. `pre-receive` refuses a push that nothing would come of,
//! because the database cannot be reached or the repository is not watched; `post-receive` writes what
//! was pushed into the database, so a push is not lost while no server runs.
//!
//! The hook files hold no address of a database: it may have a password. It is in a file of the state
//! directory that only its owner can read.

use std::{
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use clap::Args;
use plue_plan::Diagnostic;
use plue_runtime::{Clock, Ids};
use plue_store::{DeliveryRow, DeliveryState, Store};
use serde_json::json;

use crate::{
    app::App,
    exit::Exit,
    failure::{Failure, Outcome, codes},
    wiring,
};

/// By this line a hook is known to be ours.
const MARK: &str = "# written by `plue repo add`";
/// Bytes of the lines of one push: some thousands of refs.
const MAX_PUSH_BYTES: u64 = 1024 * 1024;
/// Folder of the state directory: for each hook the address of its database, if it is not there too.
const DATABASES: &str = "hook-databases";

/// `plue repo received`
#[derive(Debug, Args)]
pub struct ReceivedArgs {
    /// Hook of the pushed repository
    #[arg(value_name = "HOOK")]
    pub hook: String,
    /// Only check that a push would be taken in
    #[arg(long)]
    pub check: bool,
}

/// Writes `pre-receive` and `post-receive`; fails if a hook that plue did not write is there.
pub(super) fn install(repo: &Path, hook: &str, app: &App) -> Result<(), Failure> {
    let folder = repo.join("hooks");
    let program = std::env::current_exe().map_err(failed)?;
    let state = &app.loaded.config.state_dir;
    let state = state.canonicalize().unwrap_or_else(|_| state.clone());
    let call = format!(
        "{} --state-dir {} repo received {hook}",
        quoted(&program.display().to_string()),
        quoted(&state.display().to_string()),
    );
    remember_database(hook, app)?;
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&folder).map_err(failed)?;
    for (name, call) in [("pre-receive", format!("{call} --check")), ("post-receive", call)] {
        let file = folder.join(name);
        if let Ok(there) = std::fs::read_to_string(&file)
            && !there.contains(MARK)
        {
            return Err(Failure::usage(format!("{} is there already", file.display()))
                .hint(format!("call this from it, with its standard input: {call}")));
        }
        write(&file, 0o755, &format!("#!/bin/sh\n{MARK}\nexec {call}\n"))?;
    }
    Ok(())
}

/// Removes what [`install`] wrote.
pub(super) fn remove(repo: &Path, hook: &str, app: &App) -> Result<(), Failure> {
    for name in ["pre-receive", "post-receive"] {
        let file = repo.join("hooks").join(name);
        if std::fs::read_to_string(&file).is_ok_and(|text| text.contains(MARK)) {
            std::fs::remove_file(&file).map_err(failed)?;
        }
    }
    let _absent = std::fs::remove_file(database_file(hook, app));
    Ok(())
}

/// Stores one delivery per `OLD NEW REF` line of standard input (githooks(5)); none with `--check`.
pub(super) fn received(args: &ReceivedArgs, app: &App) -> Outcome {
    let mut text = String::new();
    let read = std::io::stdin().take(MAX_PUSH_BYTES + 1).read_to_string(&mut text);
    read.map_err(failed)?;
    if text.len() as u64 > MAX_PUSH_BYTES {
        return Err(too_large());
    }
    let database = std::fs::read_to_string(database_file(&args.hook, app)).ok();
    wiring::block_on(async {
        let store = wiring::open_at(app, database.as_deref().map(str::trim)).await;
        let failed = |error| refused(&error, args.check);
        let store = store.map_err(failed)?;
        if store.repos().by_hook(&args.hook).await.map_err(failed)?.is_none() {
            return Err(unwatched("this repository is not watched"));
        }
        for line in text.lines().filter(|_| !args.check) {
            let mut words = line.splitn(3, ' ');
            let (Some(before), Some(after), Some(git_ref)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let actor = app.environment.get("USER");
            let push = json!({"before": before, "after": after, "ref": git_ref, "actor": actor});
            let kept = keep(&store, &args.hook, push.to_string().into_bytes()).await;
            kept.map_err(failed)?;
        }
        Ok(Exit::Ok)
    })
}

async fn keep(store: &Store, hook: &str, body: Vec<u8>) -> Result<(), plue_store::Error> {
    let delivery = DeliveryRow {
        forge: "local".to_owned(),
        hook: hook.to_owned(),
        // Each push is one of its own: going back and forth between two commits is two pushes.
        id: Ids::random().text(),
        headers: json!({}),
        body,
        received_at: Clock::real().now(),
        state: DeliveryState::New,
        note: None,
    };
    store.deliveries().receive(delivery).await?;
    Ok(())
}

/// A push of which a part would start nothing.
fn too_large() -> Failure {
    let message = format!(
        "plue cannot take in this push: its list of refs has more than {MAX_PUSH_BYTES} bytes"
    );
    Failure::new(Exit::Infrastructure, Diagnostic::error(codes::PUSH, message))
        .hint("push fewer branches and tags at once")
}

/// A push that the database cannot take in. `is_check`: git refuses it whole.
fn refused(error: &plue_store::Error, is_check: bool) -> Failure {
    use plue_store::Error;
    let why = error.diagnostic();
    // There is no such database: the repository was added with another one.
    if let Error::Missing(_) | Error::BadUrl(_) = error {
        return unwatched(&why.message);
    }
    let message =
        format!("plue cannot take in this push: the database cannot be used: {}", why.message);
    Failure::new(Exit::Infrastructure, Diagnostic::error(codes::PUSH, message)).hint(match is_check {
        true => "nothing was pushed: push again once the database answers",
        false => {
            "the repository has the commits, but nothing runs: once the database answers, push another \
             commit, or start a workflow with `plue run NAME --repo OWNER/NAME --rev BRANCH`"
        }
    })
}

/// A push that no server would learn of.
fn unwatched(why: &str) -> Failure {
    let message = format!("plue cannot take in this push: {why}");
    Failure::new(Exit::Infrastructure, Diagnostic::error(codes::PUSH, message)).hint(
        "watch it again with `plue repo add` and the database of the server, or remove \
         hooks/pre-receive and hooks/post-receive",
    )
}

/// Stores the address of the database in the state directory, if it is not the one of that directory.
fn remember_database(hook: &str, app: &App) -> Result<(), Failure> {
    let file = database_file(hook, app);
    let Some(url) = &app.loaded.config.database else {
        let _absent = std::fs::remove_file(file);
        return Ok(());
    };
    let folder = app.loaded.config.state_dir.join(DATABASES);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
    write(&file, 0o600, &format!("{url}\n"))
}

fn database_file(hook: &str, app: &App) -> PathBuf {
    // A hook is letters and digits; anything else names no file.
    let plain: String = hook.chars().filter(char::is_ascii_alphanumeric).collect();
    app.loaded.config.state_dir.join(DATABASES).join(plain)
}

/// Puts a whole file in the place of what was there.
fn write(file: &Path, mode: u32, text: &str) -> Result<(), Failure> {
    let new = file.with_extension("plue-new");
    let _left_behind = std::fs::remove_file(&new);
    let mut out = std::fs::OpenOptions::new();
    let mut out = out.write(true).create_new(true).mode(mode).open(&new).map_err(failed)?;
    out.write_all(text.as_bytes()).map_err(failed)?;
    out.sync_all().map_err(failed)?;
    std::fs::rename(&new, file).map_err(failed)
}

fn failed(error: std::io::Error) -> Failure {
    Failure::infrastructure(&error)
}

/// As a shell reads one word.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
