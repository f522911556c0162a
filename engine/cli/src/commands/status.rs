//! `plue status`: one run and its steps.

use std::fmt::Write as _;

use plue_api::records::{
    status::{CallRecord, CauseRecord, WaitKind},
    test_results::TestsRecord,
};
use plue_client::Client;
use plue_flow::{RunStatus, StepStatus};
use plue_runtime::Clock;

use crate::{
    app::App,
    args::StatusArgs,
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{SCHEMA_VERSION, Status, StatusRecord, StepRecord},
    render::{table, words},
    terminal::{Style, sanitize},
};

pub(super) fn run(args: &StatusArgs, app: &App) -> Outcome {
    connected(app, Purpose::Read, async |connection| {
        let run = connection.run(&args.run).await?.id;
        let document = document(&connection.client, &run).await?;
        let steps = &document.status.steps;
        output::list(args.output, &document, steps, || shown(&document.status, app))?;
        report_decisions(&document.status, app);
        let has_ended = document.status.run.status.parse().is_ok_and(RunStatus::is_terminal);
        if let Some(machine) = connection.machine()
            && !has_ended
            && !machine.is_driven(&run)
        {
            output::report(&format!(
                "no process drives this run; continue it with: plue resume {run}"
            ));
        }
        Ok(Exit::Ok)
    })
}

/// The status of a run as a document.
pub(super) async fn document(client: &Client, run: &str) -> Result<Status, Failure> {
    Ok(Status { schema_version: SCHEMA_VERSION, status: client.runs().status(run).await? })
}

/// Prints the commands that answer the decisions that the run waits for.
pub(crate) fn report_decisions(record: &StatusRecord, app: &App) {
    let ended = record.run.status.parse().is_ok_and(RunStatus::is_terminal);
    if app.verbosity < 0 || ended {
        return;
    }
    let id = &record.run.id;
    for waiting in record.waiting.iter().filter(|waiting| waiting.what == WaitKind::Decision) {
        let Some(step) = &waiting.step else { continue };
        let call = CallRecord::option(waiting.call.as_ref());
        output::report(&format!(
            "answer with: plue approve {id} {step}{call}, or plue reject {id} {step}{call}"
        ));
    }
}

pub(crate) fn shown(record: &StatusRecord, app: &App) -> String {
    let run = &record.run;
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
    field("workflow", &format!("{} ({})", run.workflow, record.source));
    let style = run.status.parse().map_or(Style::Dim, words::run_style);
    let colored = app.stdout.paint(style, &run.status).to_string();
    field("status", &format!("{colored}{}{}", took.unwrap_or_default(), sanitize(&why, false)));
    field("plan", &run.plan);
    if let Some(goal) = &record.goal {
        field("goal", goal);
    }
    field("event", &event(&record.event));
    field("created", &words::time(run.created_at));
    text.push('\n');
    text.push_str(&steps(&record.steps, app, now));
    text.push_str(&claude(record, app));
    if let Some(results) = &record.tests {
        let _infallible = write!(text, "\n{}", tests(results));
    }
    for note in &record.notes {
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

/// Numbers of tests, and the failed and flaky ones by name.
pub(crate) fn tests(tests: &TestsRecord) -> String {
    let mut text = format!("tests: {}\n", tests.counts.words());
    for test in &tests.tests {
        let words = test.words();
        let _infallible = writeln!(text, "  {:<7} {}", test.status, sanitize(&words, false));
    }
    if tests.left_out > 0 {
        let _infallible = writeln!(text, "  and {} more", tests.left_out);
    }
    text
}

/// Tokens and dollars of Claude steps; empty without any.
fn claude(record: &StatusRecord, app: &App) -> String {
    let Some(sum) = &record.usage else { return String::new() };
    let used =
        record.steps.iter().filter_map(|step| Some((step.step.as_str(), step.usage.as_ref()?)));
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
