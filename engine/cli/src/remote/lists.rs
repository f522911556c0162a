//! Lists of a server: pending approvals, usage, audit trail, schedules, runners, pools and
//! workflows; pause and resume of workflows and schedules.

use plue_api::records::{AuditRecord, Page, told::ApprovalRecord};

use plue_store::repo::pause::PauseScope;
use reqwest::Method;
use serde_json::json;

use super::client::{Client, encoded};
use crate::{
    app::App,
    commands::{
        audit::{self, AuditArgs, Wanted},
        place::{self, By, PlaceArgs, UsageArgs},
        workflow::{self, Asked, ScheduleCommand, WorkflowCommand},
    },
    exit::Exit,
    failure::Outcome,
};

/// Rows of one page: the most that a server gives.
const PAGE: u32 = 200;

/// Reads pages of the audit trail until the rows that `plue audit` asked for are complete.
pub(super) async fn audit(client: &Client, args: &AuditArgs, app: &App) -> Outcome {
    let mut wanted = Wanted::of(args);
    let mut cursor = args.after.map(|seq| seq.to_string());
    loop {
        let mut path = format!("/api/v1/audit?limit={PAGE}");
        if let Some(cursor) = &cursor {
            path.push_str(&format!("&cursor={}", encoded(cursor)));
        }
        let page: Page<AuditRecord> = client.get(&path).await?;
        cursor = page.next;
        if wanted.add(page.items.into_iter()) || cursor.is_none() {
            break;
        }
    }
    audit::shown(wanted.into_rows(), args, app)
}

/// Reads all pages of pending approvals; the client filters by `--repo`.
pub(super) async fn approvals(client: &Client, args: &PlaceArgs, app: &App) -> Outcome {
    let (mut found, mut cursor): (Vec<ApprovalRecord>, _) = (Vec::new(), None::<String>);
    loop {
        let mut path = format!("/api/v1/approvals?limit={PAGE}");
        if let Some(cursor) = &cursor {
            path.push_str(&format!("&cursor={}", encoded(cursor)));
        }
        let page: Page<ApprovalRecord> = client.get(&path).await?;
        found.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    found.retain(|one| args.repo.is_none() || one.repository == args.repo);
    place::show_approvals(found, args, app)
}

pub(super) async fn usage(client: &Client, args: &UsageArgs, app: &App) -> Outcome {
    let (from, to) = place::period(args)?;
    let (from, to) = (from.to_string(), to.to_string());
    let mut path = format!("/api/v1/usage?from={}&to={}", encoded(&from), encoded(&to));
    if let Some(repo) = &args.repo {
        path.push_str(&format!("&repository={}", encoded(repo)));
    }
    match args.by {
        // An older server knows this one only.
        By::Repository => {}
        By::Workflow => path.push_str("&by=workflow"),
        By::Organisation => path.push_str("&by=organisation"),
    }
    place::show_usage(client.get(&path).await?, args, app)
}

pub(super) async fn schedules(client: &Client, args: &PlaceArgs, app: &App) -> Outcome {
    place::show_schedules(client.get("/api/v1/schedules").await?, args, app)
}

pub(super) async fn runners(client: &Client, args: &PlaceArgs, app: &App) -> Outcome {
    place::show_runners(client.get("/api/v1/runners").await?, args, app)
}

pub(super) async fn pools(client: &Client, args: &PlaceArgs, app: &App) -> Outcome {
    place::show_pools(client.get("/api/v1/pools").await?, args, app)
}

pub(super) async fn workflow(client: &Client, command: &WorkflowCommand, app: &App) -> Outcome {
    let scope = PauseScope::Workflow;
    match command {
        WorkflowCommand::List(args) => {
            workflow::show(client.get("/api/v1/workflows").await?, args, app)
        }
        WorkflowCommand::Pause(args) => change(client, &Asked::Pause(scope, args)).await,
        WorkflowCommand::Resume(args) => change(client, &Asked::Resume(scope, args)).await,
    }
}

pub(super) async fn schedule(client: &Client, command: &ScheduleCommand) -> Outcome {
    let scope = PauseScope::Schedule;
    match command {
        ScheduleCommand::Pause(args) => change(client, &Asked::Pause(scope, args)).await,
        ScheduleCommand::Resume(args) => change(client, &Asked::Resume(scope, args)).await,
    }
}

async fn change(client: &Client, asked: &Asked<'_>) -> Outcome {
    let target = asked.target();
    let path = format!(
        "/api/v1/repositories/{}/{}s/{}/{}",
        encoded(&target.repo),
        target.scope.as_str(),
        encoded(&target.workflow),
        asked.verb()
    );
    let body = match asked {
        Asked::Pause(..) => Some(json!({"reason": asked.reason()})),
        Asked::Resume(..) => None,
    };
    client.change(Method::POST, &path, body.as_ref()).await?;
    workflow::tell(asked);
    Ok(Exit::Ok)
}
