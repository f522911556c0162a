//! `plue webhook`: outgoing webhooks of a server on this database, or of another server.
//!
//! Must not send anything itself, or print a secret but a new one.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use plue_api::{
    commands::WebhookRequest,
    records::webhook::{NewWebhookRecord, WebhookDeliveryRecord, WebhookRecord},
};
use plue_store::webhook::EVENTS;
use reqwest::StatusCode;

use crate::{
    app::App,
    args::Format,
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{
        SCHEMA_VERSION,
        server::{WebhookDeliveries, Webhooks},
    },
    render::table,
};

/// `plue webhook`
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Send events to a URL, and print the secret that its messages are signed with, once
    Add(AddWebhookArgs),
    /// List the webhooks of a server
    List(ListWebhooksArgs),
    /// Remove a webhook with its queued messages
    Remove(OneWebhookArgs),
    /// Make a new secret and print it, once; for a day the old one is good too
    Rotate(OneWebhookArgs),
    /// Enable a disabled webhook, for events from now on
    Enable(OneWebhookArgs),
    /// Send a ping to a webhook
    Test(OneWebhookArgs),
    /// List what was sent to a webhook, or will be, the newest first
    Deliveries(DeliveriesArgs),
    /// Send a message again, under the same id
    Replay(ReplayArgs),
}

/// `plue webhook add`
#[derive(Debug, Args)]
pub struct AddWebhookArgs {
    /// URL that messages are posted to
    #[arg(value_name = "URL")]
    pub url: String,
    /// Event to send; can be given several times
    #[arg(long = "event", value_name = "EVENT", required = true,
          value_parser = clap::builder::PossibleValuesParser::new(EVENTS))]
    pub events: Vec<String>,
    /// Of this repository only
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: Option<String>,
    /// Purpose of the webhook, shown in lists
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub description: String,
}

/// `plue webhook list`
#[derive(Debug, Args)]
pub struct ListWebhooksArgs {
    /// Output format of the list
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// A webhook by its id.
#[derive(Debug, Args)]
pub struct OneWebhookArgs {
    /// Its id, as `plue webhook list` shows it
    #[arg(value_name = "ID")]
    pub id: String,
}

/// `plue webhook deliveries`
#[derive(Debug, Args)]
pub struct DeliveriesArgs {
    /// Id of the webhook
    #[arg(value_name = "ID")]
    pub id: String,
    /// Only those that are `open`, `delivered` or `failed`
    #[arg(long, value_name = "STATE",
          value_parser = clap::builder::PossibleValuesParser::new(["open", "delivered", "failed"]))]
    pub state: Option<String>,
    /// Most deliveries to list
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=200))]
    pub limit: u32,
    /// Output format of the list
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue webhook replay`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Id of the webhook
    #[arg(value_name = "ID")]
    pub id: String,
    /// The message, as `plue webhook deliveries` shows it
    #[arg(value_name = "MESSAGE")]
    pub message: String,
}

pub(super) fn run(command: &WebhookCommand, app: &App) -> Outcome {
    let purpose = match command {
        WebhookCommand::Add(_) | WebhookCommand::Rotate(_) => Purpose::Seal,
        WebhookCommand::List(_)
        | WebhookCommand::Remove(_)
        | WebhookCommand::Enable(_)
        | WebhookCommand::Test(_)
        | WebhookCommand::Deliveries(_)
        | WebhookCommand::Replay(_) => Purpose::Write,
    };
    // Wrong options are reported before a key is made.
    let request = match command {
        WebhookCommand::Add(args) => Some(request_of(args)?),
        _ => None,
    };
    connected(app, purpose, async |connection| {
        let client = &connection.client;
        match command {
            WebhookCommand::Add(_) => {
                let Some(request) = &request else { return Ok(Exit::Ok) };
                print_secret(client.webhooks().add(request).await.map_err(refused_address)?, app)
            }
            WebhookCommand::List(args) => show_list(client.webhooks().list().await?, args, app),
            WebhookCommand::Remove(args) => {
                client.webhooks().remove(&args.id).await.map_err(unknown)?;
                Ok(Exit::Ok)
            }
            WebhookCommand::Rotate(args) => {
                print_secret(client.webhooks().rotate(&args.id).await.map_err(unknown)?, app)
            }
            WebhookCommand::Enable(args) => {
                client.webhooks().enable(&args.id).await.map_err(unknown)?;
                Ok(Exit::Ok)
            }
            WebhookCommand::Test(args) => {
                let ping = client.webhooks().ping(&args.id).await;
                queued(&ping.map_err(|error| unsent(error, &args.id))?.id, &args.id)
            }
            WebhookCommand::Deliveries(args) => {
                let state = args.state.clone();
                let found = client.webhooks().deliveries(&args.id, state, args.limit).await;
                show_deliveries(found.map_err(unknown)?, args, app)
            }
            WebhookCommand::Replay(args) => {
                let again = client.webhooks().replay(&args.id, &args.message).await;
                queued(&again.map_err(|error| unsent(error, &args.id))?.id, &args.id)
            }
        }
    })
}

/// An address that the API refuses is a wrong option.
fn refused_address(error: plue_client::Error) -> Failure {
    let failure = Failure::from(error);
    match failure.exit {
        Exit::PlanInvalid => Failure { exit: Exit::Usage, ..failure },
        _ => failure.hint_if_not_found("see `plue repo list`"),
    }
}

fn unknown(error: plue_client::Error) -> Failure {
    Failure::from(error).hint_if_not_found("see `plue webhook list`")
}

/// A message that was not queued: its webhook is disabled, or there is none.
fn unsent(error: plue_client::Error, id: &str) -> Failure {
    let is_disabled = error.status() == Some(StatusCode::CONFLICT);
    let failure = Failure::from(error);
    match is_disabled {
        true => failure.hint(format!("plue webhook enable {id}")),
        false => failure.hint_if_not_found(format!(
            "see `plue webhook list` and `plue webhook deliveries {id}`"
        )),
    }
}

/// The request of the options, checked but for its address.
fn request_of(args: &AddWebhookArgs) -> Result<WebhookRequest, Failure> {
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

/// Prints the secret to standard output, and the id to standard error.
fn print_secret(made: NewWebhookRecord, app: &App) -> Outcome {
    if app.verbosity >= 0 {
        output::report(&format!("webhook {}: its secret is not shown again", made.record.id));
    }
    output::line(&made.secret)?;
    Ok(Exit::Ok)
}

fn queued(message: &str, id: &str) -> Outcome {
    output::report(&format!(
        "a server sends it; see the result with: plue webhook deliveries {id}"
    ));
    output::line(message)?;
    Ok(Exit::Ok)
}

fn show_list(webhooks: Vec<WebhookRecord>, args: &ListWebhooksArgs, app: &App) -> Outcome {
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

fn show_deliveries(
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
