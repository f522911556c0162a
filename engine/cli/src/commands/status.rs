//! `plue status`: one run and its steps.

use std::fmt::Write as _;

use plue_executor::{Loaded, liveness::is_driven};
use plue_flow::{Awaited, RunStatus};
use plue_plan::RunId;
use plue_runtime::Clock;
use plue_store::{StepRow, Store};

use super::one_run;
use crate::{
    app::App,
    args::StatusArgs,
    exit::Exit,
    failure::{Failure, Outcome, from_executor, from_store},
    output,
    records::{RunRecord, SCHEMA_VERSION, Status, StepRecord, waiting::WaitingRecord},
    render::{table, words},
    terminal::{Style, sanitize},
    wiring,
};

pub(super) fn run(args: &StatusArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        let id = one_run(&store, &args.run).await?;
        let (document, loaded, rows) = document(&store, &id).await?;
        output::list(args.output, &document, &document.steps, || shown(&loaded, &rows, app))?;
        tell_waiting(&store, &loaded, app).await?;
        let locks = app.loaded.config.state_dir.join("locks");
        if !loaded.row.view.status.is_terminal() && !is_driven(&locks, &id) {
            output::say(&format!("nobody advances this run; go on with: plue resume {id}"));
        }
        Ok(Exit::Ok)
    })
}

/// What is known of a run.
pub(super) async fn document(
    store: &Store,
    id: &RunId,
) -> Result<(Status, Loaded, Vec<StepRow>), Failure> {
    let loaded = Loaded::read(store, id).await.map_err(|error| from_executor(&error))?;
    let rows = store.steps(id).await.map_err(|error| from_store(&error))?;
    let rows = in_order_of_the_plan(rows, &loaded);
    let document = Status {
        schema_version: SCHEMA_VERSION,
        run: RunRecord::of(&loaded.row),
        outputs: loaded.run.outputs().cloned(),
        waiting: loaded.run.waiting().map(|waiting| WaitingRecord::of(&waiting)).collect(),
        steps: rows.iter().map(StepRecord::of).collect(),
    };
    Ok((document, loaded, rows))
}

/// How to answer what the run waits for, and behind which run it stands in its group.
async fn tell_waiting(store: &Store, loaded: &Loaded, app: &App) -> Result<(), Failure> {
    let id = &loaded.row.id;
    if app.verbosity < 0 || loaded.row.view.status.is_terminal() {
        return Ok(());
    }
    for waiting in loaded.run.waiting() {
        if let Awaited::Decision { .. } = waiting.what {
            let step = &waiting.step;
            output::say(&format!(
                "answer with: plue approve {id} {step}, or plue reject {id} {step}"
            ));
        }
    }
    let group = store.group_of(id).await.map_err(|error| from_store(&error))?;
    if let (Some(group), RunStatus::Queued) = (group, loaded.row.view.status) {
        let members = store.group(&group).await.map_err(|error| from_store(&error))?;
        let before: Vec<&str> = members
            .iter()
            .take_while(|member| member.run != *id)
            .map(|member| member.run.as_str())
            .collect();
        if !before.is_empty() {
            let before = before.join(", ");
            output::say(&format!("waits for its turn in the group `{group}` behind {before}"));
        }
    }
    Ok(())
}

fn in_order_of_the_plan(mut rows: Vec<StepRow>, loaded: &Loaded) -> Vec<StepRow> {
    let place = |row: &StepRow| loaded.plan.all_steps().position(|step| step.id == row.view.step);
    rows.sort_by_cached_key(place);
    rows
}

fn shown(loaded: &Loaded, rows: &[StepRow], app: &App) -> String {
    let row = &loaded.row;
    let now = Clock::real().now();
    let took = row.view.started_at.map(|from| {
        let word = if row.view.ended_at.is_some() { "in" } else { "since" };
        format!(" {word} {}", words::duration(from, row.view.ended_at.unwrap_or(now)))
    });
    let status = row.view.status.to_string();
    let why = row.view.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        let name = format!("{name:<9}");
        let value = sanitize(value, true);
        let _infallible = writeln!(text, "{}{value}", app.stdout.paint(Style::Dim, &name));
    };
    field("run", row.id.as_str());
    field("workflow", &format!("{} ({})", row.workflow, loaded.source.source));
    let colored = app.stdout.paint(words::run_style(row.view.status), &status).to_string();
    field("status", &format!("{colored}{}{}", took.unwrap_or_default(), sanitize(&why, false)));
    field("plan", &row.plan.to_string());
    if let Some(goal) = &loaded.plan.goal {
        field("goal", goal);
    }
    field("event", &event(loaded));
    field("created", &words::time(row.created_at));
    text.push('\n');
    text + &steps(rows, app, now)
}

/// `manual by ada on main at 1f2e3d4`.
pub(super) fn event(loaded: &Loaded) -> String {
    let event = &loaded.source.event;
    let text = |name: &str| event.get(name).and_then(serde_json::Value::as_str);
    let mut words = text("type").unwrap_or("unknown").to_owned();
    for (word, value) in
        [("by", text("actor")), ("on", text("branch").or(text("tag"))), ("at", text("sha"))]
    {
        if let Some(value) = value {
            let value: String = value.chars().take(40).collect();
            let _infallible = write!(words, " {word} {value}");
        }
    }
    words
}

fn steps(rows: &[StepRow], app: &App, now: jiff::Timestamp) -> String {
    let cells = rows.iter().map(|row| {
        let view = &row.view;
        let style = words::step_style(view.status);
        let took = view.started_at.map(|from| words::duration(from, view.ended_at.unwrap_or(now)));
        let tries = if view.visit > 1 {
            format!("{} (visit {})", view.attempts, view.visit)
        } else {
            view.attempts.to_string()
        };
        vec![
            (words::step_sign(view.status).to_owned(), style),
            table::plain(view.step.to_string()),
            (view.status.to_string(), style),
            table::plain(took.unwrap_or_else(|| "-".to_owned())),
            table::plain(tries),
            table::plain(view.reason.as_ref().map_or(String::new(), ToString::to_string)),
        ]
    });
    let head = ["", "STEP", "STATUS", "TOOK", "ATTEMPTS", "WHY"];
    table::render(&head, &cells.collect::<Vec<_>>(), &app.stdout)
}
