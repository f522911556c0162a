//! Secrets, repositories, messages and tokens of a server.

use plue_api::{
    commands::{AppRequest, EventReceipt, RepoRequest, TokenRequest},
    records::{
        NewTokenRecord, Page,
        place::{DeliveryRecord, RepoRecord},
    },
};
use plue_runtime::{Clock, Ids};
use reqwest::Method;
use serde_json::json;

use super::client::{Client, encoded};
use crate::{
    app::App,
    commands::{
        event::{self, EventCommand},
        repo::{self, AddRepoArgs, ForgeName, RepoCommand},
        secret::{self, ScopeArgs, SecretCommand},
        token::{self, TokenCommand},
    },
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{
        SCHEMA_VERSION,
        server::Repos,
        texts::{SecretRecord, Secrets},
    },
};

/// `plue secret`
pub(super) async fn secret(client: &Client, command: &SecretCommand, app: &App) -> Outcome {
    match command {
        SecretCommand::Set(args) => {
            let base = base(&args.scope)?;
            let text = secret::text_of(&args.name, args.from_file.as_deref())?;
            let text = std::str::from_utf8(&text);
            let text = text.map_err(|_| Failure::usage("a secret of a server is UTF-8 text"))?;
            let path = format!("{base}/{}", encoded(&args.name));
            client.change(Method::PUT, &path, Some(&json!({"text": text}))).await?;
            if app.verbosity >= 0 {
                output::say(&format!("{} is set", args.name));
            }
        }
        SecretCommand::List(args) => {
            let mut secrets: Vec<SecretRecord> = Vec::new();
            if args.scope.global || args.all || args.scope.repo.is_some() {
                secrets.extend(client.get::<Vec<_>>("/api/v1/secrets").await.or_else(
                    |failure| {
                        // A token of one repository has those of the repository to see.
                        if args.scope.repo.is_some() { Ok(Vec::new()) } else { Err(failure) }
                    },
                )?);
            }
            if args.all {
                for repo in client.get::<Vec<RepoRecord>>("/api/v1/repositories").await? {
                    secrets.extend(client.get::<Vec<_>>(&path_of(&repo.name)).await?);
                }
            } else if !args.scope.global {
                secrets.extend(client.get::<Vec<_>>(&base(&args.scope)?).await?);
            }
            let document = Secrets { schema_version: SCHEMA_VERSION, secrets };
            output::list(args.output, &document, &document.secrets, || {
                secret::table_of(&document.secrets, app)
            })?;
        }
        SecretCommand::Rm(args) => {
            let path = format!("{}/{}", base(&args.scope)?, encoded(&args.name));
            client.change(Method::DELETE, &path, None::<&()>).await?;
        }
        SecretCommand::Rotate => return Err(super::not_yet("secret rotate")),
    }
    Ok(Exit::Ok)
}

/// `plue event`
pub(super) async fn event(client: &Client, command: &EventCommand, app: &App) -> Outcome {
    let of = |repo: &str| format!("/api/v1/repositories/{}", encoded(repo));
    match command {
        EventCommand::Send(args) => {
            let path = format!("{}/events", of(&args.repo));
            let key = args.id.clone().unwrap_or_else(|| Ids::random().text());
            let receipt: EventReceipt = client.once(&path, &args.request()?, &key).await?;
            event::send::tell(args, receipt.new);
            Ok(Exit::Ok)
        }
        EventCommand::List(args) => {
            let path = format!("{}/deliveries?limit={}", of(&args.repo), args.limit);
            let page: Page<DeliveryRecord> = client.get(&path).await?;
            event::list::print(page.items, args, app)
        }
        EventCommand::Retry(args) => {
            let path = format!("{}/deliveries/{}/retry", of(&args.repo), encoded(&args.id));
            client.change(Method::POST, &path, None::<&()>).await?;
            event::retry::tell(args);
            Ok(Exit::Ok)
        }
        EventCommand::Decode(_) | EventCommand::Emit(_) => Err(super::not_yet("this")),
    }
}

/// `plue repo`
pub(super) async fn repo(client: &Client, command: &RepoCommand, app: &App) -> Outcome {
    match command {
        RepoCommand::Add(args) => add(client, args).await?,
        RepoCommand::List(args) => {
            let repos = client.get("/api/v1/repositories").await?;
            let document = Repos { schema_version: SCHEMA_VERSION, repos };
            output::list(args.output, &document, &document.repos, || {
                repo::table_of(&document.repos, app)
            })?;
        }
        RepoCommand::Rm(args) => {
            let path = format!("/api/v1/repositories/{}", encoded(&args.name));
            client.change(Method::DELETE, &path, None::<&()>).await?;
        }
        RepoCommand::Allow(args) => {
            let path = format!("/api/v1/repositories/{}/allowed", encoded(&args.name));
            client.change(Method::POST, &path, Some(&json!({"commit": args.commit}))).await?;
        }
        RepoCommand::Confirm(args) => {
            let path = format!("/api/v1/repositories/{}/identity", encoded(&args.name));
            client.change(Method::POST, &path, Some(&json!({"id": args.id}))).await?;
        }
        RepoCommand::Webhook(_) => return Err(super::not_yet("repo webhook")),
        RepoCommand::Received(_) => return Err(super::not_yet("repo received")),
    }
    Ok(Exit::Ok)
}

async fn add(client: &Client, args: &AddRepoArgs) -> Result<(), Failure> {
    if args.forge == ForgeName::Local {
        return Err(Failure::usage("a repository on the server's machine is added there")
            .hint("one of a forge: --forge github|gitlab|gitea|forgejo"));
    }
    let secret = args.webhook_secret.as_deref().map(repo::read_secret).transpose()?;
    let request = RepoRequest {
        name: args.name.clone(),
        forge: args.forge.as_str().to_owned(),
        url: args.url.clone(),
        default_branch: args.default_branch.clone(),
        webhook_secret: secret,
        token: args.token.as_deref().map(repo::read_secret).transpose()?,
        app: args.app()?.map(|(id, key)| AppRequest { id, key }),
        api: args.api.clone(),
        report: args.report.into(),
    };
    let made: RepoRecord = client.post("/api/v1/repositories", &request).await?;
    let path = made.webhook.unwrap_or_default();
    output::say(&format!("{} is watched; its webhook is POST {path} on the server", made.name));
    if args.webhook_secret.is_none() {
        output::say("no delivery is believed before a secret is set: --webhook-secret FILE");
    }
    Ok(())
}

/// Where the secrets of a scope are.
fn base(scope: &ScopeArgs) -> Result<String, Failure> {
    match (&scope.repo, scope.global) {
        (_, true) => Ok("/api/v1/secrets".to_owned()),
        (Some(repo), false) => Ok(path_of(&repo.display().to_string())),
        (None, false) => Err(Failure::usage("a server is told whose secret it is")
            .hint("--repo OWNER/NAME, or --global")),
    }
}

fn path_of(repo: &str) -> String {
    format!("/api/v1/repositories/{}/secrets", encoded(repo))
}

/// `plue token`
pub(super) async fn token(client: &Client, command: &TokenCommand, app: &App) -> Outcome {
    match command {
        TokenCommand::Create(args) => {
            token::check_name(&args.name)?;
            if let Some(text) = &args.expires_in {
                // The server counts from its own now; here it is only seen whether it can be read.
                let _readable = token::expiry(text, Clock::real().now())?;
            }
            let request = TokenRequest {
                name: args.name.clone(),
                role: args.role,
                repository: args.repo.clone(),
                expires_in_days: None,
                expires_in: args.expires_in.clone(),
            };
            let made: NewTokenRecord = client.post("/api/v1/tokens", &request).await?;
            token::told(&made.token, &made.record, app)?;
        }
        TokenCommand::List(args) => {
            token::shown(client.get("/api/v1/tokens").await?, args, app)?;
        }
        TokenCommand::Rm(args) => {
            let path = format!("/api/v1/tokens/{}", encoded(&args.id));
            let removed = client.change(Method::DELETE, &path, None::<&()>).await;
            removed.map_err(|failure| failure.hint("see `plue token list`"))?;
        }
    }
    Ok(Exit::Ok)
}
