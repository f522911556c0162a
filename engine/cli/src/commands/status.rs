//! `plue status`: one run and its steps.

use std::fmt::Write as _;

use plue_api::{
    explain::{self, Subject},
    records::told::{CallRecord, CauseRecord, WaitKind},
};
use plue_executor::{Loaded, run_lock::is_driven};
use plue_flow::{RunStatus, StepStatus};
use plue_plan::RunId;
use plue_runtime::Clock;
use plue_store::Store;

use super::one_run;
use crate::{
    app::App,
    args::StatusArgs,
    exit::Exit,
    failure::{Failure, Outcome, from_executor, from_store},
    output,
    records::{SCHEMA_VERSION, Status, StatusRecord, StepRecord},
    render::{table, words},
    terminal::{Style, sanitize},
    wiring,
};

pub(super) fn run(args: &StatusArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        let id = one_run(&store, &args.run).await?;
        let (document, loaded) = document(&store, &id).await?;
        output::list(args.output, &document, &document.told.steps, || shown(&document.told, app))?;
        tell_decisions(&document.told, app);
        let locks = app.loaded.config.state_dir.join("locks");
        if !loaded.row.view.status.is_terminal() && !is_driven(&locks, &id) {
            output::say(&format!("nobody advances this run; go on with: plue resume {id}"));
        }
        Ok(Exit::Ok)
    })
}

/// What is known of a run.
pub(super) async fn document(store: &Store, id: &RunId) -> Result<(Status, Loaded), Failure> {
    let steps = store.runs().steps(id).await.map_err(|error| from_store(&error))?;
    let loaded = Loaded::read(store, id).await.map_err(|error| from_executor(&error))?;
    let Loaded { row, source, plan, run, .. } = &loaded;
    let told = explain::status(store, steps, Subject { row, source, plan, run }).await;
    let told = told.map_err(|error| from_store(&error))?;
    Ok((Status { schema_version: SCHEMA_VERSION, told }, loaded))
}

/// How to answer what the run waits for.
pub(crate) fn tell_decisions(told: &StatusRecord, app: &App) {
    let ended = told.run.status.parse().is_ok_and(RunStatus::is_terminal);
    if app.verbosity < 0 || ended {
        return;
    }
    let id = &told.run.id;
    for waiting in told.waiting.iter().filter(|waiting| waiting.what == WaitKind::Decision) {
        let Some(step) = &waiting.step else { continue };
        let call = CallRecord::option(waiting.call.as_ref());
        output::say(&format!(
            "answer with: plue approve {id} {step}{call}, or plue reject {id} {step}{call}"
        ));
    }
}

pub(crate) fn shown(told: &StatusRecord, app: &App) -> String {
    let run = &told.run;
    let now = Clock::real().now();
    let took = run.started_at.map(|from| {
        let word = if run.ended_at.is_some() { "in" } else { "since" };
        format!(" {word} {}", words::duration(from, run.ended_at.unwrap_or(now)))
    });
    let why = run.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        let name = format!("{name:<9}");
        let value = sanitize(value, true);
        let _infallible = writeln!(text, "{}{value}", app.stdout.paint(Style::Dim, &name));
    };
    field("run", &run.id);
    field("workflow", &format!("{} ({})", run.workflow, told.source));
    let style = run.status.parse().map_or(Style::Dim, words::run_style);
    let colored = app.stdout.paint(style, &run.status).to_string();
    field("status", &format!("{colored}{}{}", took.unwrap_or_default(), sanitize(&why, false)));
    field("plan", &run.plan);
    if let Some(goal) = &told.goal {
        field("goal", goal);
    }
    field("event", &event(&told.event));
    field("created", &words::time(run.created_at));
    text.push('\n');
    text.push_str(&steps(&told.steps, app, now));
    text.push_str(&claude(told, app));
    for note in &told.notes {
        let _infallible = writeln!(text, "{}: {}", note.step, sanitize(&note.text, false));
    }
    text
}

/// `manual by ada on main at 1f2e3d4`.
pub(super) fn event(event: &CauseRecord) -> String {
    let mut words = event.kind.clone();
    let at = [
        ("by", &event.actor),
        ("on", if event.branch.is_some() { &event.branch } else { &event.tag }),
        ("at", &event.sha),
    ];
    for (word, value) in at {
        if let Some(value) = value {
            let value: String = value.chars().take(40).collect();
            let _infallible = write!(words, " {word} {value}");
        }
    }
    words
}

/// Tokens and dollars of Claude steps; empty without any.
fn claude(told: &StatusRecord, app: &App) -> String {
    let Some(sum) = &told.usage else { return String::new() };
    let used =
        told.steps.iter().filter_map(|step| Some((step.step.as_str(), step.usage.as_ref()?)));
    let rows = used.chain([("all", sum)]).map(|(name, usage)| {
        let counts = [
            usage.calls,
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
        ];
        let mut cells = vec![table::plain(name)];
        cells.extend(counts.map(|count| table::plain(count.to_string())));
        cells.push(table::plain(format!("${:.4}", usage.cost_usd)));
        cells
    });
    let head = ["CLAUDE", "CALLS", "TOKENS IN", "OUT", "CACHE READ", "CACHE WRITE", "COST"];
    format!("\n{}", table::render(&head, &rows.collect::<Vec<_>>(), &app.stdout))
}

fn steps(steps: &[StepRecord], app: &App, now: jiff::Timestamp) -> String {
    let cells = steps.iter().map(|step| {
        let status = step.status.parse().unwrap_or(StepStatus::Pending);
        let style = words::step_style(status);
        let took = step.started_at.map(|from| words::duration(from, step.ended_at.unwrap_or(now)));
        let tries = if step.visit > 1 {
            format!("{} (visit {})", step.attempts, step.visit)
        } else {
            step.attempts.to_string()
        };
        let tries = if step.started_at.is_none() { "-".to_owned() } else { tries };
        let shown = match &step.name {
            Some(name) => format!("{} · {name}", step.step),
            None => step.step.clone(),
        };
        vec![
            (words::step_sign(status).to_owned(), style),
            table::plain(shown),
            (step.status.clone(), style),
            table::plain(took.unwrap_or_else(|| "-".to_owned())),
            table::plain(tries),
            table::plain(step.reason.clone().unwrap_or_default()),
        ]
    });
    let head = ["", "STEP", "STATUS", "TOOK", "ATTEMPTS", "WHY"];
    table::render(&head, &cells.collect::<Vec<_>>(), &app.stdout)
}
