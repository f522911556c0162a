//! `plue webhook`: who is told of what happens to runs, by a server on this database.
//!
//! Must not send anything itself, or print a secret but the one that it has just made.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use plue_api::{
    commands::{MadeWebhook, WebhookRequest},
    records::webhook::{WebhookDeliveryRecord, WebhookRecord},
};
use plue_runtime::{Clock, Ids};
use plue_server::webhooks::{WebhookAdmin, admin, admin::WebhookAdminError};
use plue_store::{
    Store,
    webhook::{DeliveryState, EVENTS, Page, WebhookRow},
};
use serde_json::{Value as Json, json};

use crate::{
    app::App,
    args::Format,
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    output, person,
    records::{
        SCHEMA_VERSION,
        server::{WebhookDeliveries, Webhooks},
    },
    render::table,
    trail::Change,
    vault, wiring,
};

/// `plue webhook`
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Tell a URL of events, and print the secret that its messages are signed with, once
    Add(AddWebhookArgs),
    /// List webhooks
    List(ListWebhooksArgs),
    /// Remove a webhook with all that was to be told to it
    Remove(OneWebhookArgs),
    /// Make a new secret and print it, once; for a day the old one is good too
    Rotate(OneWebhookArgs),
    /// Tell a webhook again that was disabled, of what happens from now on
    Enable(OneWebhookArgs),
    /// Send a ping
    Test(OneWebhookArgs),
    /// List what was sent to a webhook, or will be, the newest first
    Deliveries(DeliveriesArgs),
    /// Send a message again, under the same id
    Replay(ReplayArgs),
}

/// `plue webhook add`
#[derive(Debug, Args)]
pub struct AddWebhookArgs {
    /// Where messages are posted
    #[arg(value_name = "URL")]
    pub url: String,
    /// What it is told of; can be given several times
    #[arg(long = "event", value_name = "EVENT", required = true,
          value_parser = clap::builder::PossibleValuesParser::new(EVENTS))]
    pub events: Vec<String>,
    /// Of this repository only
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub description: String,
}

/// `plue webhook list`
#[derive(Debug, Args)]
pub struct ListWebhooksArgs {
    /// How the list is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// Which webhook.
#[derive(Debug, Args)]
pub struct OneWebhookArgs {
    /// Its id, as `plue webhook list` shows it
    #[arg(value_name = "ID")]
    pub id: String,
}

/// `plue webhook deliveries`
#[derive(Debug, Args)]
pub struct DeliveriesArgs {
    /// The webhook's id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Only those that are `open`, `delivered` or `failed`
    #[arg(long, value_name = "STATE",
          value_parser = clap::builder::PossibleValuesParser::new(["open", "delivered", "failed"]))]
    pub state: Option<String>,
    /// Deliveries at most
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=200))]
    pub limit: u32,
    /// How the list is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue webhook replay`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The webhook's id
    #[arg(value_name = "ID")]
    pub id: String,
    /// The message, as `plue webhook deliveries` shows it
    #[arg(value_name = "MESSAGE")]
    pub message: String,
}

pub(super) fn run(command: &WebhookCommand, app: &App) -> Outcome {
    wiring::block_on(async {
        let place = Place { store: wiring::open_store(app).await?, app };
        match command {
            WebhookCommand::Add(args) => place.add(args).await,
            WebhookCommand::List(args) => place.list(args).await,
            WebhookCommand::Remove(args) => place.remove(&args.id).await,
            WebhookCommand::Rotate(args) => place.rotate(&args.id).await,
            WebhookCommand::Enable(args) => place.enable(&args.id).await,
            WebhookCommand::Test(args) => place.test(&args.id).await,
            WebhookCommand::Deliveries(args) => place.deliveries(args).await,
            WebhookCommand::Replay(args) => place.replay(args).await,
        }
    })
}

/// The database of this machine.
struct Place<'a> {
    store: Store,
    app: &'a App,
}

impl Place<'_> {
    async fn add(&self, args: &AddWebhookArgs) -> Outcome {
        let request = request_of(args)?;
        if let Some(repo) = &args.repo
            && self.store.repos().get(repo).await.map_err(|error| from_store(&error))?.is_none()
        {
            return Err(
                Failure::not_found(format!("`{repo}` is not watched")).hint("see `plue repo list`")
            );
        }
        let (keys, guard) = (vault::make_keys(self.app)?, wiring::reach(self.app)?);
        let (clock, ids) = (Clock::real(), Ids::random());
        let webhooks =
            WebhookAdmin { store: &self.store, keys: &keys, guard: &guard, ids: &ids, clock };
        let made = webhooks.add(request, person::principal()).await;
        let made = made.map_err(|error| self.refused(error))?;
        let what = json!({"events": args.events});
        self.trail("webhook.add", &made.id, (args.repo.clone(), what)).await?;
        tell(&made, self.app)
    }

    async fn list(&self, args: &ListWebhooksArgs) -> Outcome {
        let rows = self.store.webhooks().list().await.map_err(|error| from_store(&error))?;
        show_list(rows.iter().map(WebhookRecord::of).collect(), args, self.app)
    }

    async fn remove(&self, id: &str) -> Outcome {
        let row = self.one(id).await?;
        admin::remove(&self.store, id).await.map_err(|error| from_store(&error))?;
        self.trail("webhook.remove", id, (row.repo, json!({}))).await?;
        Ok(Exit::Ok)
    }

    async fn rotate(&self, id: &str) -> Outcome {
        let row = self.one(id).await?;
        let (keys, guard) = (vault::make_keys(self.app)?, wiring::reach(self.app)?);
        let (clock, ids) = (Clock::real(), Ids::random());
        let webhooks =
            WebhookAdmin { store: &self.store, keys: &keys, guard: &guard, ids: &ids, clock };
        let made = webhooks.rotate(id).await.map_err(|error| self.refused(error))?;
        self.trail("webhook.rotate", id, (row.repo, json!({}))).await?;
        tell(&made, self.app)
    }

    async fn enable(&self, id: &str) -> Outcome {
        let row = self.one(id).await?;
        self.store.webhooks().enable(id).await.map_err(|error| from_store(&error))?;
        self.trail("webhook.enable", id, (row.repo, json!({}))).await?;
        Ok(Exit::Ok)
    }

    async fn test(&self, id: &str) -> Outcome {
        let row = self.enabled(id).await?;
        let message = format!("msg_{}", Ids::random().text());
        let ping = self.store.webhooks().ping(id, &message, Clock::real().now()).await;
        ping.map_err(|error| from_store(&error))?;
        self.trail("webhook.test", id, (row.repo, json!({}))).await?;
        queued(&message, id)
    }

    async fn deliveries(&self, args: &DeliveriesArgs) -> Outcome {
        self.one(&args.id).await?;
        let state = args.state.as_deref().map(str::parse::<DeliveryState>).transpose();
        let page = Page { state: state.map_err(Failure::usage)?, before: None, limit: args.limit };
        let rows = self.store.webhooks().deliveries(&args.id, &page).await;
        let rows = rows.map_err(|error| from_store(&error))?;
        show_deliveries(rows.iter().map(WebhookDeliveryRecord::of).collect(), args, self.app)
    }

    async fn replay(&self, args: &ReplayArgs) -> Outcome {
        let row = self.enabled(&args.id).await?;
        let now = Clock::real().now();
        let again = self.store.webhooks().replay(&args.id, &args.message, now).await;
        if !again.map_err(|error| from_store(&error))? {
            return Err(Failure::not_found(format!("there is no delivery `{}`", args.message))
                .hint(format!("see `plue webhook deliveries {}`", args.id)));
        }
        let what = json!({"delivery": args.message});
        self.trail("webhook.replay", &args.id, (row.repo, what)).await?;
        queued(&args.message, &args.id)
    }

    async fn one(&self, id: &str) -> Result<WebhookRow, Failure> {
        let row = self.store.webhooks().get(id).await.map_err(|error| from_store(&error))?;
        row.ok_or_else(|| {
            Failure::not_found(format!("there is no webhook `{id}`"))
                .hint("see `plue webhook list`")
        })
    }

    async fn enabled(&self, id: &str) -> Result<WebhookRow, Failure> {
        let row = self.one(id).await?;
        match &row.disabled {
            None => Ok(row),
            Some((_, reason)) => Err(Failure::usage(format!("the webhook is disabled: {reason}"))
                .hint(format!("plue webhook enable {id}"))),
        }
    }

    async fn trail(
        &self,
        action: &str,
        id: &str,
        (repo, detail): (Option<String>, Json),
    ) -> Result<(), Failure> {
        Change::new(action, id).of_repo(repo).with(detail).note(&self.store).await
    }

    fn refused(&self, error: WebhookAdminError) -> Failure {
        match error {
            WebhookAdminError::Address(why) => Failure::new(Exit::Usage, *why),
            WebhookAdminError::Full => Failure::usage(error.to_string()),
            WebhookAdminError::Unknown(_) => Failure::not_found(error.to_string()),
            WebhookAdminError::Secret(error) => vault::from_secret(&error, self.app),
            WebhookAdminError::Store(error) => from_store(&error),
        }
    }
}

/// What is asked for, checked but for its address.
pub(crate) fn request_of(args: &AddWebhookArgs) -> Result<WebhookRequest, Failure> {
    let AddWebhookArgs { url, events, repo, description } = args;
    let request = WebhookRequest {
        url: url.clone(),
        events: events.clone(),
        repository: repo.clone(),
        description: description.clone(),
    };
    request.check().map_err(Failure::usage)?;
    Ok(request)
}

/// The secret goes where it can be piped, and the id beside it.
pub(crate) fn tell(made: &MadeWebhook, app: &App) -> Outcome {
    if app.verbosity >= 0 {
        output::say(&format!("webhook {}: its secret is not shown again", made.id));
    }
    output::line(&made.secret)?;
    Ok(Exit::Ok)
}

pub(crate) fn queued(message: &str, id: &str) -> Outcome {
    output::say(&format!("a server sends it; what came of it: plue webhook deliveries {id}"));
    output::line(message)?;
    Ok(Exit::Ok)
}

pub(crate) fn show_list(
    webhooks: Vec<WebhookRecord>,
    args: &ListWebhooksArgs,
    app: &App,
) -> Outcome {
    let document = Webhooks { schema_version: SCHEMA_VERSION, webhooks };
    output::list(args.output, &document, &document.webhooks, || {
        let rows = document.webhooks.iter().map(|hook| {
            let state = match (&hook.disabled_reason, hook.failing_since) {
                (Some(reason), _) => format!("disabled: {reason}"),
                (None, Some(since)) => format!("failing since {since}"),
                (None, None) => "on".to_owned(),
            };
            let repo = hook.repository.as_deref().unwrap_or("all");
            let cells = [&hook.id, &hook.url, &hook.events.join(" "), repo, &state];
            cells.map(table::plain).to_vec()
        });
        let head = ["ID", "URL", "EVENTS", "REPOSITORY", "STATE"];
        table::render(&head, &rows.collect::<Vec<_>>(), &app.stdout)
    })?;
    Ok(Exit::Ok)
}

pub(crate) fn show_deliveries(
    deliveries: Vec<WebhookDeliveryRecord>,
    args: &DeliveriesArgs,
    app: &App,
) -> Outcome {
    let document = WebhookDeliveries { schema_version: SCHEMA_VERSION, deliveries };
    output::list(args.output, &document, &document.deliveries, || {
        let time = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let rows = document.deliveries.iter().map(|one| {
            let answer = match (one.status, &one.note) {
                (Some(status), Some(note)) => format!("{status} {note}"),
                (Some(status), None) => status.to_string(),
                (None, note) => note.clone().unwrap_or_else(|| "-".to_owned()),
            };
            let (tries, next) = (one.tries.to_string(), time(one.next_at));
            let tried = time(one.tried_at);
            let cells = [&one.id, &one.event, &one.state, &tries, &tried, &next, &answer];
            cells.map(table::plain).to_vec()
        });
        let head = ["MESSAGE", "EVENT", "STATE", "TRIES", "TRIED", "NEXT", "ANSWER"];
        table::render(&head, &rows.collect::<Vec<_>>(), &app.stdout)
    })?;
    Ok(Exit::Ok)
}
