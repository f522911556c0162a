//! The pool for strangers' runs: whether this machine can wall them off.

use std::path::Path;

use plue_pool::walls::Walls;
use plue_runtime::{Clock, Ids};

use crate::{app::App, records::Check};

const WHAT: &str = "pool: untrusted";

/// Only servers that watch forges need it.
pub(super) async fn untrusted(app: &App) -> Check {
    let config = &app.loaded.config;
    let Some(options) = config.pools.untrusted.walls() else {
        return Check::warn(
            WHAT,
            "off: what a maintainer allows of a fork runs as this user",
            "pools.untrusted.mode",
            "set pools.untrusted.mode = \"auto\" to run it behind walls",
        );
    };
    let binary = app.program(config.runner.binary.as_deref(), "plue-runner");
    // Looking must not change anything: the state directory may not be there yet.
    let place = Path::new("/tmp").join(format!("plue-doctor-{}", Ids::random().text()));
    let walls = Walls::new(options, binary, place.join("runners"));
    let how = "plue-runner was started in bubblewrap";
    let checked = walls.check(&Clock::real()).await;
    let _of_no_use = std::fs::remove_dir_all(&place);
    match checked {
        Ok(()) => Check::ok(WHAT, "steps of forks can be walled off", how),
        Err(why) => {
            let fix = "changes from forks wait until this works; other runs do not need it";
            Check::warn(WHAT, why, how, fix)
        }
    }
}
