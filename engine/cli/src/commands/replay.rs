//! `plue replay`: a run again, with the recorded answers of its Claude steps.
//!
//! Must not call a model: the run is marked, and whichever engine drives it answers from the transcripts.

use std::{future::Future, pin::Pin};

use clap::Args;
use plue_executor::{Engine, Loaded, Origin, Submission};
use plue_flow::{Fact as RunFact, StepStatus};
use plue_llm::agent::{Divergence, Fact};
use plue_plan::{HashedPlan, RunId};
use plue_planner::session::{Planned, WarmCache};
use plue_server::put_back::put_back;
use plue_store::Store;
use serde_json::json;

use super::{
    rerun::{event_file, inputs},
    retry::{FilesArgs, report_files},
    run::{given, submission},
};
use crate::{
    app::App,
    args::{Format, SourceArgs},
    attach::{Begin, drive},
    connect::{Connection, Purpose},
    exit::Exit,
    failure::{Failure, Outcome, from_executor, from_store},
    local_runs::refuse_imported,
    output,
    records::{DivergenceRecord, Replayed, SCHEMA_VERSION},
    sources,
    terminal::sanitize,
    trail::Change,
    vault, wiring,
};

/// `plue replay`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A run id, the beginning of one, or `last`
    #[arg(value_name = "RUN")]
    pub run: String,
    /// The recorded plan and prompts, not the workflow as it is now
    #[arg(long)]
    pub pinned: bool,
    #[command(flatten)]
    pub files: FilesArgs,
    /// A secret, taken from the variable of the same name in plue's own environment
    #[arg(long = "secret", value_name = "NAME")]
    pub secrets: Vec<String>,
    /// Do not wait for people: exit with code 6 when the run waits for a decision, an event or a callback
    #[arg(long)]
    pub no_wait: bool,
    /// Output format of the result
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// The comparison of a replay with its recording.
#[derive(Debug, Default)]
struct Comparison {
    /// Recorded answers that were used.
    answers: u64,
    divergence: Option<DivergenceRecord>,
}

pub(super) fn run(args: &ReplayArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let connection = Connection::open(app, Purpose::Drive).await?;
        let recorded = RunId::new(connection.run(&args.run).await?.id);
        let machine = connection.machine().ok_or_else(|| Failure::usage("a replay runs here"))?;
        let engine = machine.engine()?;
        let imported = refuse_imported(engine.store(), &recorded).await;
        imported.map_err(|error| Failure::usage(error.to_string()))?;
        let loaded = engine.load(&recorded).await.map_err(|error| from_executor(&error))?;
        if !loaded.run.is_finished() {
            let open = format!("run {recorded} has not ended; only a run that is over is replayed");
            return Err(Failure::usage(open)
                .hint(format!("let it end, or stop it: plue cancel {recorded}")));
        }
        let given = given(&args.secrets, app)?;
        let aside = app.loaded.config.state_dir.join("aside");
        let files = put_back(engine, &recorded, None, args.files.choice(), &aside).await;
        report_files(&files.map_err(|error| from_executor(&error))?, app);
        let submission = submitted(args, app, engine.store(), loaded).await?;
        let named = (&submission.plan.plan, submission.only.as_slice());
        let repository = &submission.origin.repository;
        let secrets = vault::layered(app, engine.store(), given, named, repository).await?;
        let secrets = secrets.complete()?;
        let run = engine.submit(submission).await.map_err(|error| from_executor(&error))?;
        let secrets = vault::remembered(app, engine.store(), &run, secrets).await?;
        let detail = json!({ "of": recorded.as_str() });
        Change::new("run.replay", run.as_str()).with(detail).note(engine.store()).await?;
        if app.verbosity >= 0 {
            output::report(&format!("run {run} replays {recorded}: no model is called"));
        }
        let begin = if args.no_wait { Begin::UntilAsked } else { Begin::Drive };
        let exit = drive(app, engine, &run, begin, secrets).await?;
        if matches!(exit, Exit::Interrupted | Exit::WaitingForDecision | Exit::Infrastructure) {
            return Ok(exit);
        }
        let compared = compare(engine, &recorded, &run).await?;
        report(args.output, (&recorded, &run), compared)
    })
}

/// The run to be made: of the workflow as it is now, or of the recorded plan.
async fn submitted(
    args: &ReplayArgs,
    app: &App,
    store: &Store,
    loaded: Loaded,
) -> Result<Submission, Failure> {
    let recorded = loaded.row.id.clone();
    let (only, carried) = selection(store, &recorded).await?;
    let max_parallel = loaded.origin.max_parallel;
    let mut submission = if args.pinned {
        let unreadable = |error: serde_json::Error| Failure::infrastructure(&error);
        let plan = HashedPlan::new((*loaded.plan).clone());
        Submission {
            plan: plan.map_err(|problem| Failure::invalid(vec![problem]))?,
            source: loaded.source.source,
            event: serde_json::from_value(loaded.source.event).map_err(unreadable)?,
            inputs: serde_json::from_value(loaded.source.inputs).map_err(unreadable)?,
            origin: loaded.origin,
            only,
            carried,
        }
    } else {
        let untrusted = loaded.origin.untrusted;
        let planned = planned(app, store, &loaded).await?;
        let plan = &planned.sealed.plan;
        let gone = only.iter().find(|id| !plan.steps.iter().any(|step| step.id == **id));
        if let Some(gone) = gone {
            let gone = format!("the workflow has no step `{gone}` any more");
            return Err(Failure::not_found(gone).hint("--pinned replays the recorded plan"));
        }
        let made = submission(max_parallel, planned, only);
        Submission { carried, origin: Origin { untrusted, ..made.origin }, ..made }
    };
    let replay = Some(recorded);
    submission.origin = Origin { parent: None, traceparent: None, replay, ..submission.origin };
    Ok(submission)
}

/// The workflow of a run as it is now, for the same event, inputs and goal.
async fn planned(app: &App, store: &Store, loaded: &Loaded) -> Result<Planned, Failure> {
    let event = event_file(loaded)?;
    let repo = loaded.origin.repository.clone();
    let place = sources::select(app, Some(&repo), [loaded.source.source.as_str()])?;
    let source = SourceArgs {
        repo: Some(repo),
        event: Some(event.path().to_owned()),
        inputs: inputs(&loaded.source.inputs, &[]),
    };
    let (opening, kept) = WarmCache::new(&app.loaded.config.state_dir);
    let _no_requester = opening.send(Some(sources::stored(store)));
    let goal = loaded.plan.goal.as_deref();
    let planned = sources::plan_one(app, &place, &source, goal, kept).await;
    planned.map_err(|failure| failure.hint("--pinned replays the recorded plan"))
}

/// The steps that ran, if not all did, and the outputs of the others.
async fn selection(
    store: &Store,
    run: &RunId,
) -> Result<(Vec<plue_plan::StepId>, Vec<plue_flow::fact::Carried>), Failure> {
    let stored = store.runs().load(run).await.map_err(|error| from_store(&error))?;
    let first = stored.and_then(|stored| stored.journal.into_iter().next());
    Ok(match first {
        Some((_, RunFact::RunCreated { only, carried, .. })) => (only, carried),
        Some(_) | None => (Vec::new(), Vec::new()),
    })
}

async fn compare(engine: &Engine, recorded: &RunId, run: &RunId) -> Result<Comparison, Failure> {
    let mut compared = Comparison::default();
    compared.read(engine.store(), run.clone(), String::new()).await?;
    if compared.divergence.is_none() {
        let then = engine.load(recorded).await.map_err(|error| from_executor(&error))?;
        let now = engine.load(run).await.map_err(|error| from_executor(&error))?;
        compared.divergence = of_ends(&then, &now);
    }
    Ok(compared)
}

/// The first step, in the order of the plan, that ended in another way.
fn of_ends(then: &Loaded, now: &Loaded) -> Option<DivergenceRecord> {
    let status = |status: Option<StepStatus>| match status {
        Some(status) => status.to_string(),
        None => "not in the plan".to_owned(),
    };
    let differs = |before: plue_flow::StepView| {
        let after = now.run.step_view(&before.step);
        let (recorded, now) = (Some(before.status), after.as_ref().map(|after| after.status));
        (recorded != now).then(|| DivergenceRecord {
            step: before.step.to_string(),
            turn: None,
            what: "the end of the step differs".to_owned(),
            recorded: status(recorded),
            now: status(now),
        })
    };
    then.run.step_views().find_map(differs)
}

// === impl Comparison ===

impl Comparison {
    /// Counts the answers of a run and its children, and keeps the first divergence.
    fn read<'a>(
        &'a mut self,
        store: &'a Store,
        run: RunId,
        above: String,
    ) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>> {
        Box::pin(async move {
            let failed = |error: plue_store::Error| from_store(&error);
            let (mut ends, mut started) = (Vec::new(), Vec::new());
            for row in store.attempts().list(&run, None).await.map_err(failed)? {
                let own = &row.claim.attempt;
                let mut facts = store.transcripts().of(own).await.map_err(failed)?;
                for id in store.transcripts().agents_of(&run, own).await.map_err(failed)? {
                    // A difference of theirs is the end of the attempt's own, too.
                    let below = store.transcripts().of(&id).await.map_err(failed)?.into_iter();
                    facts.extend(below.filter(|fact| fact["fact"] == "answered"));
                }
                for fact in facts {
                    match serde_json::from_value(fact) {
                        Ok(Fact::Answered { .. }) => self.answers += 1,
                        Ok(Fact::RunStarted { run, .. }) => {
                            started.push((run.run, row.step.clone()));
                        }
                        Ok(Fact::Ended { end }) => {
                            let step = row.step.clone();
                            ends.extend(end.divergence.map(|it| (row.ended_at, step, it)));
                        }
                        Ok(_) | Err(_) => {}
                    }
                }
            }
            let first = ends.iter().min_by_key(|(at, ..)| *at);
            if let (Some((_, step, divergence)), None) = (first, &self.divergence) {
                self.divergence = Some(record(format!("{above}{step}"), divergence));
            }
            for (child, step) in started {
                self.read(store, child, format!("{above}{step}/")).await?;
            }
            let stored = store.runs().load(&run).await.map_err(failed)?;
            for (_, fact) in stored.into_iter().flat_map(|stored| stored.journal) {
                if let RunFact::ChildStarted { step, child, .. } = fact {
                    self.read(store, child.run, format!("{above}{step}/")).await?;
                }
            }
            Ok(())
        })
    }
}

fn record(step: String, divergence: &Divergence) -> DivergenceRecord {
    let Divergence { turn, what, recorded, now } = divergence.clone();
    DivergenceRecord { step, turn: Some(turn), what, recorded, now }
}

fn report(format: Format, (of, run): (&RunId, &RunId), compared: Comparison) -> Outcome {
    let Comparison { answers, divergence } = compared;
    let document = Replayed {
        schema_version: SCHEMA_VERSION,
        run: run.to_string(),
        of: of.to_string(),
        equal: divergence.is_none(),
        answers,
        divergence,
    };
    match (format, &document.divergence) {
        (Format::Json, _) => output::pretty(&document)?,
        (Format::Jsonl, _) => output::json(&document)?,
        (Format::Table, None) => {
            output::line(&format!("as recorded: {answers} answers of run {of}"))?;
        }
        (Format::Table, Some(divergence)) => output::text(&words(divergence))?,
    }
    Ok(if document.divergence.is_none() { Exit::Ok } else { Exit::RunFailed })
}

fn words(divergence: &DivergenceRecord) -> String {
    let DivergenceRecord { step, turn, what, recorded, now } = divergence;
    let code = plue_llm::codes::REPLAY;
    let turn = turn.map(|turn| format!(", turn {turn}")).unwrap_or_default();
    let what = sanitize(what, false);
    let shown = |text: &str| sanitize(&format!("{text:?}"), false).into_owned();
    format!(
        "{code}: step `{step}`{turn}: {what}\n  recorded: {}\n  now:      {}\n",
        shown(recorded),
        shown(now)
    )
}
