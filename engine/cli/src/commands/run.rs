//! `plue run`: evaluate a workflow, store the run, drive it here, show it.

mod carried;
mod in_place;
mod submit;
mod web;

use std::{collections::BTreeMap, sync::Arc};

use plue_executor::{
    Engine, Origin, Submission, perform::environment::GivenSecrets, retention::collect_garbage,
    trace::Traces,
};
use plue_plan::{RunId, StepId};
use plue_planner::session::{Opening, Planned, Selection, WarmCache};
use plue_runtime::{Clock, Phase, Shutdown, Tasks, together::run_with};
use serde_json::json;

use super::runs::report_left;
use crate::{
    app::App,
    args::{Format, RunArgs},
    attach::{Begin, drive},
    connect::{Connection, Purpose},
    exit::Exit,
    failure::{Failure, Outcome, from_executor},
    output, render, sources,
    terminal::{Style, sanitize},
    todo::Todo,
    traces,
    trail::Change,
    vault::{self, Layered},
    wiring,
};

pub(super) fn run(args: RunArgs, app: &App) -> Outcome {
    let output = args.output;
    let (run, exit) = match &app.loaded.config.server {
        None => driven(args, app).map(|(run, exit)| (run.to_string(), exit))?,
        // The only command that differs by the place: here it submits the work tree.
        Some(_) => wiring::block_on(async {
            let connection = Connection::open(app, Purpose::Drive).await?;
            submit::submit(&connection, &args, app).await
        })?,
    };
    print_result(&run, exit, output)?;
    Ok(exit)
}

/// Runs a workflow here, shows it on stderr, and returns the run with the exit code of its end.
///
/// # Errors
/// As `plue run`.
pub(super) fn driven(args: RunArgs, app: &App) -> Result<(RunId, Exit), Failure> {
    if let Some(rev) = &args.rev {
        return Err(Failure::usage(format!("--rev {rev}: runs of this machine use the work tree"))
            .hint("check it out and run it, or name a server: --server URL"));
    }
    wiring::block_on(async {
        let traced = traces::exporter(app, None, Clock::real())?;
        let (exporter, traces) = traced.map_or((None, None), |(one, two)| (Some(one), Some(two)));
        let place = sources::select(app, args.source.repo.as_deref(), args.workflow.as_deref())?;
        let (opening, kept) = WarmCache::new(&app.loaded.config.state_dir);
        // The evaluators and the runner start while the database is opened.
        let (planned, engine) = tokio::join!(
            sources::plan_one(app, &place, &args.source, args.goal.as_deref(), kept),
            ready(app, &place, opening, traces),
        );
        let engine = engine?;
        let outcome = match planned {
            Ok(planned) => Box::pin(run_planned(args, app, &engine, planned)).await,
            Err(failure) => Err(failure),
        };
        // A runner that was started in vain.
        engine.close().await;
        if let Some(exporter) = exporter {
            let (over, stop) = Shutdown::new();
            over.advance(Phase::Draining);
            exporter.work(engine.store().clone(), stop).await;
        }
        outcome
    })
}

/// An engine with a runner that starts: whatever will be planned needs it.
async fn ready(
    app: &App,
    place: &Selection,
    opening: Opening,
    traces: Option<Traces>,
) -> Result<Engine, Failure> {
    let store = wiring::open_store(app).await?;
    let _no_requester = opening.send(Some(sources::stored(&store)));
    let engine = wiring::traced_engine(app, store, &Tasks::new(), traces)?;
    let python = place.mentions("python");
    engine.warm(&place.repo, python).await.map_err(|error| from_executor(&error))?;
    Ok(engine)
}

async fn run_planned(
    args: RunArgs,
    app: &App,
    engine: &Engine,
    planned: Planned,
) -> Result<(RunId, Exit), Failure> {
    render::diagnostic::print_in(&planned.warnings, app, &planned.repo);
    if !planned.printed.is_empty() {
        for line in planned.printed.lines() {
            output::report(&sanitize(line, app.stderr.color));
        }
    }
    for note in in_place::notes(&planned.sealed.plan, &planned.repo).await {
        output::report(&sanitize(&note, app.stderr.color));
    }
    let only = selection(&args, &planned)?;
    let named = (&planned.sealed.plan, only.as_slice());
    let given = given(&args.secrets, app)?;
    let secrets = vault::layered(app, engine.store(), given, named, &planned.repo).await?;
    let secrets = secrets.complete()?;
    let todo = args.todo.as_deref().map(|path| Todo::open(path, &planned.sealed.plan));
    let todo = todo.transpose()?;
    let name = planned.sealed.plan.name.clone();
    let hash = planned.sealed.hash;
    // A person can ask for less than the operator allows, not for more.
    let bounds = [args.max_parallel, app.loaded.config.max_parallel];
    let mut submission = submission(bounds.into_iter().flatten().min(), planned, only);
    carried::carry(&args, app, engine.store(), &mut submission).await?;
    let run = engine.submit(submission).await.map_err(|error| from_executor(&error))?;
    let secrets = vault::remembered(app, engine.store(), &run, secrets).await?;
    let change = Change::new("run.create", run.as_str()).with(json!({"workflow": name}));
    change.note(engine.store()).await?;
    if app.verbosity >= 0 {
        output::report(&format!(
            "{} {name} · plan {} · run {run}",
            app.stderr.paint(Style::Bold, "run"),
            hash.short()
        ));
    }
    let web = match args.web {
        true => Some(web::Web::open(app, engine, &run).await?),
        false => None,
    };
    let begin = if args.no_wait || args.no_input { Begin::UntilAsked } else { Begin::Drive };
    let driven = drive(app, engine, &run, begin, secrets);
    let exit = match &todo {
        None => driven.await?,
        Some(todo) => {
            let exit = run_with(driven, todo.keep(engine.store(), &run)).await;
            todo.update(engine.store(), &run).await;
            exit?
        }
    };
    if let Some(web) = web.filter(|_| exit != Exit::Interrupted) {
        web.stay().await;
    }
    // The run has ended and was shown; what fails here is a line in the log.
    collect_garbage(engine.store(), &wiring::keep(app)?, Clock::real().now()).await;
    if args.output == Format::Table && !engine.store().is_shared() {
        let open = engine.store().runs().unfinished().await.unwrap_or_default();
        report_left(open.iter().filter(|row| row.id != run), app);
    }
    Ok((run, exit))
}

/// Data for programs on stdout; messages for people are already on stderr.
fn print_result(run: &str, exit: Exit, format: Format) -> Result<(), Failure> {
    match format {
        Format::Table => Ok(()),
        Format::Json | Format::Jsonl => {
            output::json(&json!({ "schema_version": 1, "run": run, "exit_code": exit.code() }))
        }
    }
}

pub(super) fn submission(
    max_parallel: Option<u32>,
    planned: Planned,
    only: Vec<StepId>,
) -> Submission {
    Submission {
        origin: Origin {
            workspace: planned.repo.clone(),
            repository: planned.repo,
            read_set: planned.read_set,
            max_parallel,
            parent: None,
            untrusted: false,
            traceparent: None,
            max_duration_s: None,
            replay: None,
        },
        plan: planned.sealed,
        source: planned.path,
        event: planned.event,
        inputs: planned.inputs,
        only,
        carried: Vec::new(),
    }
}

/// The steps of `--step` or `--from`.
fn selection(args: &RunArgs, planned: &Planned) -> Result<Vec<StepId>, Failure> {
    let plan = &planned.sealed.plan;
    let known = |id: &str| {
        if plan.steps.iter().any(|step| step.id.as_str() == id) {
            return Ok(StepId::new(id));
        }
        let names = plan.steps.iter().map(|step| step.id.as_str());
        let failure = Failure::not_found(format!("the plan has no step `{id}`"));
        Err(match plue_plan::validate::did_you_mean(id, names) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure,
        })
    };
    match (&args.step, &args.from) {
        (Some(step), _) => Ok(vec![known(step)?]),
        (None, Some(from)) => {
            let from = known(from)?;
            let run = plue_flow::Run::new(RunId::new(""), Arc::new(plan.clone()));
            let mut only = run.descendants(&from);
            if !only.contains(&from) {
                only.push(from);
            }
            Ok(only)
        }
        (None, None) => Ok(Vec::new()),
    }
}

/// The secrets of a stored run, and the names of missing ones.
pub(crate) async fn of_run(
    app: &App,
    engine: &Engine,
    run: &RunId,
    names: &[String],
) -> Result<Layered, Failure> {
    let loaded = engine.load(run).await.map_err(|error| from_executor(&error))?;
    let (given, named) = (given(names, app)?, (&*loaded.plan, &[][..]));
    vault::layered(app, engine.store(), given, named, &loaded.origin.repository).await
}

/// Secrets that the user hands to the run, by name, from plue's own environment.
pub(super) fn given(names: &[String], app: &App) -> Result<GivenSecrets, Failure> {
    let mut secrets = BTreeMap::new();
    for name in names {
        let text = app.environment.get(name).ok_or_else(|| {
            Failure::usage(format!("--secret {name}: there is no variable of this name"))
                .hint(format!("set it for this command: {name}=… plue run --secret {name}"))
        })?;
        secrets.insert(name.clone(), text.into_bytes());
    }
    Ok(GivenSecrets(secrets))
}
