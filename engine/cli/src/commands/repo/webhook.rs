//! `plue repo webhook`: the secret that calls of a repository's named webhooks (`on_webhook`) are
//! verified with.

use std::path::PathBuf;

use clap::Args;

use super::read_secret;
use crate::{
    app::App,
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
};

/// `plue repo webhook`
#[derive(Debug, Args)]
pub struct WebhookArgs {
    /// Name of the repository
    #[arg(value_name = "OWNER/NAME")]
    pub name: String,
    /// Read the secret from this file instead of making one; two lines are two secrets, so that one can
    /// be changed without a gap
    #[arg(long, value_name = "PATH")]
    pub secret: Option<PathBuf>,
}

/// Sets the secret; a generated one is printed, this once.
pub(super) fn run(args: &WebhookArgs, app: &App) -> Outcome {
    let given = args.secret.as_deref().map(read_secret).transpose()?;
    connected(app, Purpose::Seal, async |connection| {
        let set =
            connection.client.repositories().set_call_secret(&args.name, given.as_deref()).await;
        let unknown = |error| Failure::from(error).hint_if_not_found("see `plue repo list`");
        let secret = set.map_err(unknown)?.secret;
        let path = args.name.replace('/', "%2F");
        output::report(&format!("webhooks of {} are POST /webhooks/in/{path}/NAME", args.name));
        if let Some(secret) = secret {
            output::line(&secret)?;
        }
        Ok(Exit::Ok)
    })
}
