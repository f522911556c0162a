//! `plue runs`: runs, newest first.

use jiff::{SignedDuration, Timestamp};
use plue_client::RunQuery;
use plue_executor::run_lock::is_driven;
use plue_flow::RunStatus;
use plue_plan::{DurationText, event::EventType};
use plue_runtime::Clock;
use plue_store::RunRow;
use serde_json::Value as Json;

use crate::{
    app::App,
    args::RunsArgs,
    commands::lists,
    connect::{Connection, Purpose},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{RunRecord, Runs, SCHEMA_VERSION},
    render::{table, words},
    terminal::Style,
    wiring,
};

/// Runs that are named in one line at most.
const MAX_NAMED: usize = 3;

pub(super) fn run(args: &RunsArgs, app: &App) -> Outcome {
    if let Some(text) = &args.status {
        statuses(text)?;
    }
    let since = args.since.as_deref().map(|text| since(text, Clock::real().now()));
    let query = RunQuery {
        status: args.status.as_ref().map(|text| text.replace(' ', "")),
        workflow: args.workflow.clone(),
        repository: args.repo.clone(),
        branch: args.branch.clone(),
        event: args.event.as_deref().map(event_type).transpose()?,
        since: since.transpose()?.map(|since| since.to_string()),
    };
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    wiring::block_on(async {
        let (connection, runs) = match Connection::open(app, Purpose::Read).await {
            Ok(connection) => {
                let runs = connection.client.runs().list(&query, limit).await?;
                (Some(connection), runs)
            }
            // A machine without runs has an empty list.
            Err(failure) if failure.exit == Exit::NotFound => (None, Vec::new()),
            Err(failure) => return Err(failure),
        };
        let document = Runs { schema_version: SCHEMA_VERSION, runs };
        output::list(args.output, &document, &document.runs, || shown(&document.runs, app))?;
        if let Some(machine) = connection.as_ref().and_then(Connection::machine) {
            let runs = document.runs.iter();
            let running = runs.filter(|run| run.status == RunStatus::Running.as_str());
            let left = running.map(|run| run.id.clone()).filter(|run| !machine.is_driven(run));
            name_left(&left.collect::<Vec<_>>(), app);
        }
        Ok(Exit::Ok)
    })
}

/// Names the running runs that no process of this machine drives, as after a kill.
pub(crate) fn report_left<'r>(rows: impl Iterator<Item = &'r RunRow>, app: &App) {
    let locks = app.loaded.config.state_dir.join("locks");
    // Other states wait for their turn, or for an answer.
    let is_left =
        |row: &&RunRow| row.view.status == RunStatus::Running && !is_driven(&locks, &row.id);
    let left: Vec<_> = rows.filter(is_left).map(|row| row.id.to_string()).collect();
    name_left(&left, app);
}

fn name_left(left: &[String], app: &App) {
    if left.is_empty() || app.verbosity < 0 {
        return;
    }
    let named = left.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = left.len().saturating_sub(MAX_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    output::report(&format!(
        "no process drives {named}{more}; continue with `plue resume`, or end with `plue cancel RUN`"
    ));
}

/// The type of an event, as plans know it.
pub(crate) fn event_type(text: &str) -> Result<String, Failure> {
    let known = serde_json::from_value::<EventType>(Json::from(text));
    known.map(|_| text.to_owned()).map_err(|_| {
        Failure::usage(format!("--event {text}: there is no such event")).hint(
            "one of push, pull_request, issue, issue_comment, schedule, manual, webhook, event, workflow",
        )
    })
}

/// A day, a time, or how long ago: `7d`.
pub(crate) fn since(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let Ok(ago) = DurationText::new(text).parse() else {
        return lists::moment("--since", text);
    };
    let ago = SignedDuration::try_from(ago).ok();
    Ok(ago.and_then(|ago| now.checked_sub(ago).ok()).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// `failed`, or several with commas.
pub(crate) fn statuses(text: &str) -> Result<Vec<RunStatus>, Failure> {
    let one = |word: &str| {
        word.parse().map_err(|error: plue_flow::status::UnknownStatus| {
            let known: Vec<_> = RunStatus::ALL.iter().map(|status| status.as_str()).collect();
            Failure::usage(error.to_string()).hint(format!("one of {}", known.join(", ")))
        })
    };
    text.split(',').map(str::trim).map(one).collect()
}

pub(crate) fn shown(runs: &[RunRecord], app: &App) -> String {
    let now = Clock::real().now();
    let cells = runs.iter().map(|run| {
        let took = run.started_at.map(|from| words::duration(from, run.ended_at.unwrap_or(now)));
        let style = run.status.parse().map_or(Style::Dim, words::run_style);
        vec![
            table::plain(&run.id),
            (run.status.clone(), style),
            table::plain(&run.workflow),
            table::plain(run.branch.as_deref().unwrap_or("-")),
            table::plain(words::time(run.created_at)),
            table::plain(took.unwrap_or_else(|| "-".to_owned())),
            table::plain(waits_for(run)),
        ]
    });
    let head = ["RUN", "STATUS", "WORKFLOW", "BRANCH", "CREATED", "TOOK", "WAITS FOR"];
    table::render(&head, &cells.collect::<Vec<_>>(), &app.stdout)
}

/// Reason that a run has not ended; empty if it has, or if no reason is known.
fn waits_for(run: &RunRecord) -> String {
    let is_open = run.status.parse().is_ok_and(|status: RunStatus| !status.is_terminal());
    run.reason.clone().filter(|_| is_open).unwrap_or_default()
}
