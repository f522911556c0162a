//! `plue repo webhook`: the secret that calls of a repository's named webhooks (`on_webhook`) are
//! verified with.

use std::path::PathBuf;

use clap::Args;
use plue_runtime::Ids;
use plue_server::secrets::{CALL_SECRET, hook_scope_of};

use super::read_secret;
use crate::{
    app::App,
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    output,
    trail::Change,
    vault, wiring,
};

/// What the key of a Standard Webhooks secret begins with.
const PREFIX: &str = "whsec_";

/// `plue repo webhook`
#[derive(Debug, Args)]
pub struct WebhookArgs {
    /// The repository
    #[arg(value_name = "OWNER/NAME")]
    pub name: String,
    /// Read the secret from this file instead of making one; two lines are two secrets, so that one can
    /// be changed without a gap
    #[arg(long, value_name = "PATH")]
    pub secret: Option<PathBuf>,
}

/// Sets the secret. A fresh one is printed, this once.
pub(super) fn run(args: &WebhookArgs, app: &App) -> Outcome {
    let given = args.secret.as_deref().map(read_secret).transpose()?;
    wiring::block_on(async {
        let store = wiring::open_store(app).await?;
        let repo = store.repos().get(&args.name).await.map_err(|error| from_store(&error))?;
        let repo = repo.ok_or_else(|| {
            Failure::not_found(format!("`{}` is not watched", args.name))
                .hint("see `plue repo list`")
        })?;
        let is_fresh = given.is_none();
        let secret = given.unwrap_or_else(|| format!("{PREFIX}{}", Ids::random().secret()));
        let keys = vault::make_keys(app)?;
        let scope = hook_scope_of(&repo.name);
        let put = store.secrets().put(&keys, &scope, CALL_SECRET, secret.trim().as_bytes()).await;
        put.map_err(|error| vault::from_secret(&error, app))?;
        let change = Change::new("repo.webhook", &repo.name).of_repo(Some(repo.name.clone()));
        change.note(&store).await?;
        let path = repo.name.replace('/', "%2F");
        output::say(&format!("webhooks of {} are POST /webhooks/in/{path}/NAME", repo.name));
        if is_fresh {
            output::line(&secret)?;
        }
        Ok(Exit::Ok)
    })
}
