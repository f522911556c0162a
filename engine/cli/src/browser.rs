//! The dashboard in a browser: pages of a server, and one-time links for the person at this machine, printed
//! and opened.
//!
//! Must not print a link of a server that other machines reach.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
};

use plue_api::link;
use plue_runtime::{Clock, Ids};
use plue_store::Store;

use crate::{
    app::App,
    failure::{Failure, from_store},
    output,
};

/// Program that opens an address, unless `$BROWSER` names another.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// A server that a browser of this machine reaches.
#[derive(Debug, Clone, Copy)]
pub struct Target<'p> {
    /// Database of the server.
    pub store: &'p Store,
    /// Address that it listens on.
    pub address: SocketAddr,
    /// Path to show first.
    pub to: &'p str,
}

/// Prints a link to the dashboard, and opens it if `opens`. Without `opens` the link is for terminals only:
/// elsewhere it would end in a log.
///
/// # Errors
/// The server listens for other machines and a link is asked for; the database refuses.
pub async fn offer(app: &App, target: Target<'_>, opens: bool) -> Result<(), Failure> {
    let Target { store, address, to } = target;
    if !address.ip().is_loopback() {
        return match opens {
            false => Ok(()),
            true => Err(Failure::usage(format!("--open: {address} is reached by other machines"))
                .hint("sign in with a token (plue token create), or listen on 127.0.0.1")),
        };
    }
    let is_shown = opens || (app.stderr.interactive && app.verbosity >= 0);
    if !is_shown {
        return Ok(());
    }
    let now = Clock::real().now();
    let path = link::make(store, &Ids::random(), to, now).await;
    let url = format!("http://{address}{}", path.map_err(|error| from_store(&error))?);
    output::report(&format!("open {url} (works once, within ten minutes)"));
    if opens {
        start(app, &url);
    }
    Ok(())
}

/// Prints the address of a page that needs no link, and opens it.
pub fn show(app: &App, url: &str) {
    output::report(&format!("open {url}"));
    start(app, url);
}

fn start(app: &App, url: &str) {
    if !open(app, url) {
        output::report("no browser could be started; open the link yourself");
    }
}

/// Starts a browser; false if there is none.
fn open(app: &App, url: &str) -> bool {
    let program = app.environment.get("BROWSER").unwrap_or_else(|| OPENER.to_owned());
    let mut command = Command::new(program);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // It ends by itself; its status would change nothing.
    command.spawn().is_ok()
}
