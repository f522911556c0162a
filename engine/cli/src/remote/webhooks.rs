//! Webhooks of a server.

use plue_api::{
    commands::MadeWebhook,
    records::{
        Page,
        webhook::{NewWebhookRecord, WebhookDeliveryRecord},
    },
};
use reqwest::Method;
use serde_json::json;

use super::client::{Client, encoded};
use crate::{
    app::App,
    commands::webhook::{self, WebhookCommand},
    exit::Exit,
    failure::{Failure, Outcome},
};

const ALL: &str = "/api/v1/webhooks";

/// `plue webhook`
pub(super) async fn run(client: &Client, command: &WebhookCommand, app: &App) -> Outcome {
    let one = |id: &str| format!("{ALL}/{}", encoded(id));
    match command {
        WebhookCommand::Add(args) => {
            let request = webhook::request_of(args)?;
            let made = client.post(ALL, &request).await.map_err(wrong)?;
            webhook::tell(&shown(made), app)
        }
        WebhookCommand::List(args) => webhook::show_list(client.get(ALL).await?, args, app),
        WebhookCommand::Remove(args) => {
            client.change(Method::DELETE, &one(&args.id), None::<&()>).await?;
            Ok(Exit::Ok)
        }
        WebhookCommand::Rotate(args) => {
            let path = format!("{}/rotate", one(&args.id));
            webhook::tell(&shown(client.post(&path, &json!({})).await?), app)
        }
        WebhookCommand::Enable(args) => {
            let path = format!("{}/enable", one(&args.id));
            client.change(Method::POST, &path, None::<&()>).await?;
            Ok(Exit::Ok)
        }
        WebhookCommand::Test(args) => {
            let path = format!("{}/test", one(&args.id));
            let ping: WebhookDeliveryRecord = client.post(&path, &json!({})).await?;
            webhook::queued(&ping.id, &args.id)
        }
        WebhookCommand::Deliveries(args) => {
            let mut path = format!("{}/deliveries?limit={}", one(&args.id), args.limit);
            if let Some(state) = &args.state {
                path.push_str(&format!("&state={state}"));
            }
            let page: Page<WebhookDeliveryRecord> = client.get(&path).await?;
            webhook::show_deliveries(page.items, args, app)
        }
        WebhookCommand::Replay(args) => {
            let message = encoded(&args.message);
            let path = format!("{}/deliveries/{message}/replay", one(&args.id));
            let again: WebhookDeliveryRecord = client.post(&path, &json!({})).await?;
            webhook::queued(&again.id, &args.id)
        }
    }
}

fn shown(made: NewWebhookRecord) -> MadeWebhook {
    MadeWebhook { id: made.record.id, secret: made.secret }
}

/// An address that is refused is a wrong word on the command line, here as without a server.
fn wrong(failure: Failure) -> Failure {
    let is_address = failure.exit == Exit::PlanInvalid;
    if is_address { Failure { exit: Exit::Usage, ..failure } } else { failure }
}
