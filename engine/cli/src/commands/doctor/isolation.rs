//! The pools of a server: whether this machine can isolate their steps.

use std::path::Path;

use plue_pool::sandbox::Sandbox;
use plue_runtime::{Clock, Ids};

use crate::{app::App, records::Check};

/// Only servers need them.
pub(super) async fn checks(app: &App) -> [Check; 2] {
    [local(app).await, untrusted(app).await]
}

/// Runs of own commits.
async fn local(app: &App) -> Check {
    const WHAT: &str = "pool: local";
    let config = &app.loaded.config.pools.local;
    let Some(options) = config.sandbox(true) else {
        return Check::warn(
            WHAT,
            "off: on a server, steps run as its user and read what it may read",
            "pools.local.mode",
            "set pools.local.mode = \"auto\" to isolate them",
        );
    };
    let fix = match options.required {
        Some(_) => "on a server, nothing runs until this works",
        None => {
            "until this works, steps on a server run as its user and read its database and its keys; \
             pools.local.mode = \"required\" lets them wait instead"
        }
    };
    let environment = app.environment.of_steps(&app.loaded.config.runner.env);
    let make = |binary, runners| Sandbox::own(options, environment, binary, runners);
    tried((WHAT, "on a server, steps of own commits are isolated"), fix, app, make).await
}

/// Isolation of runs of forks; a warning if `pools.untrusted.mode` is off.
async fn untrusted(app: &App) -> Check {
    const WHAT: &str = "pool: untrusted";
    let Some(options) = app.loaded.config.pools.untrusted.sandbox() else {
        return Check::warn(
            WHAT,
            "off: what a maintainer allows of a fork runs as this user",
            "pools.untrusted.mode",
            "set pools.untrusted.mode = \"auto\" to isolate it",
        );
    };
    let fix = "changes from forks wait until this works; other runs do not need it";
    let make = |binary, runners| Sandbox::untrusted(options, binary, runners);
    tried((WHAT, "steps of forks can be isolated"), fix, app, make).await
}

async fn tried(
    (what, works): (&str, &str),
    fix: &str,
    app: &App,
    make: impl FnOnce(std::path::PathBuf, std::path::PathBuf) -> Sandbox,
) -> Check {
    let binary = app.program(app.loaded.config.runner.binary.as_deref(), "plue-runner");
    // Looking must not change anything: the state directory may not be there yet.
    let place = Path::new("/tmp").join(format!("plue-doctor-{}", Ids::random().text()));
    let sandbox = make(binary, place.join("runners"));
    let how = "plue-runner was started in bubblewrap";
    let checked = sandbox.check(&Clock::real()).await;
    let _of_no_use = std::fs::remove_dir_all(&place);
    match checked {
        Ok(open) if open.is_empty() => Check::ok(what, works, how),
        Ok(open) => {
            let found = format!("{works}, but {}", open.join("; "));
            Check::warn(what, found, how, "use a newer kernel, or set network = false")
        }
        Err(why) => Check::warn(what, why, how, fix),
    }
}
