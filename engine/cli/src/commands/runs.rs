//! `plue runs`: runs, newest first.

use plue_flow::RunStatus;
use plue_runtime::Clock;
use plue_store::RunFilter;

use crate::{
    app::App,
    args::RunsArgs,
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    output,
    records::{RunRecord, Runs, SCHEMA_VERSION},
    render::{table, words},
    terminal::Style,
    wiring,
};

pub(super) fn run(args: &RunsArgs, app: &App) -> Outcome {
    let filter = RunFilter {
        status: args.status.as_deref().map(statuses).transpose()?.unwrap_or_default(),
        workflow: args.workflow.clone(),
        repos: None,
        limit: args.limit,
        before: None,
    };
    wiring::block_on(async {
        let rows = match wiring::open_existing(app).await {
            Ok(store) => store.runs(&filter).await.map_err(|error| from_store(&error))?,
            // Nothing has run here yet: a list without entries, not a mistake.
            Err(failure) if failure.exit == Exit::NotFound => Vec::new(),
            Err(failure) => return Err(failure),
        };
        let runs = rows.iter().map(RunRecord::of).collect();
        let document = Runs { schema_version: SCHEMA_VERSION, runs };
        output::list(args.output, &document, &document.runs, || shown(&document.runs, app))?;
        Ok(Exit::Ok)
    })
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
        ]
    });
    let head = ["RUN", "STATUS", "WORKFLOW", "BRANCH", "CREATED", "TOOK"];
    table::render(&head, &cells.collect::<Vec<_>>(), &app.stdout)
}
