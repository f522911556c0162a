//! Values that `--step` and `--from` take from an earlier run: outputs of the steps left out, and
//! their artifacts that are missing in the work tree.
//!
//! Must not take anything from a run of a fork, and must not overwrite a file.

use std::collections::BTreeSet;

use plue_executor::{
    Loaded, Submission,
    rerun::{carried_from, put_back_artifacts, source_of},
};
use plue_flow::{
    StepView,
    fact::{Carried, Reason},
};
use plue_plan::{Plan, RunId, StepId, graph::Graph};
use plue_store::{RunFilter, RunRow, Store};

use crate::{
    app::App,
    args::RunArgs,
    commands::one_run,
    failure::{Failure, from_executor, from_store},
    output,
};

/// Runs that are searched for one of the same plan.
const SEARCHED: u32 = 50;
/// Bytes of outputs that are carried over at most.
const MAX_CARRIED_BYTES: usize = 16 * 1024 * 1024;

/// The selected steps of a plan, and the steps left out that they depend on.
struct Selection<'a> {
    plan: &'a Plan,
    only: &'a [StepId],
    wanted: BTreeSet<StepId>,
}

/// The values that an earlier run has for a selection.
struct Earlier {
    run: RunId,
    carried: Vec<Carried>,
    /// Wanted steps that ended well there.
    settled: BTreeSet<StepId>,
}

/// Gives the submission the outputs of an earlier run, and puts missing artifacts back. Prints which
/// run it is, or the way out if there is none.
pub(super) async fn carry(
    args: &RunArgs,
    app: &App,
    store: &Store,
    submission: &mut Submission,
) -> Result<(), Failure> {
    if submission.only.is_empty() {
        return match &args.carry {
            None => Ok(()),
            Some(_) => Err(Failure::usage("--carry belongs to --step and --from")),
        };
    }
    let selection = Selection::new(&submission.plan.plan, &submission.only);
    let earlier = match &args.carry {
        Some(named) => Some(named_run(store, named, &selection).await?),
        None if selection.wanted.is_empty() => None,
        None => last_run(store, submission, &selection).await?,
    };
    if app.verbosity >= 0 {
        print_missing(&selection, earlier.as_ref());
    }
    let Some(earlier) = earlier.filter(|earlier| !earlier.carried.is_empty()) else {
        return Ok(());
    };
    let workspace = &submission.origin.workspace;
    let files = put_back_artifacts(store, &earlier.carried, workspace).await;
    let files = files.map_err(|error| from_executor(&error))?;
    if app.verbosity >= 0 {
        print_carried(&earlier, files);
    }
    submission.carried = earlier.carried;
    Ok(())
}

// === impl Selection ===

impl<'a> Selection<'a> {
    fn new(plan: &'a Plan, only: &'a [StepId]) -> Self {
        let graph = Graph::new(plan);
        let above = only.iter().flat_map(|step| graph.ancestors(step));
        let wanted = above.filter(|step| !only.contains(step)).collect();
        Self { plan, only, wanted }
    }
}

// === impl Earlier ===

impl Earlier {
    fn new(loaded: &Loaded, selection: &Selection<'_>) -> Self {
        let run = &loaded.row.id;
        let is_left_out = |view: &StepView| {
            let is_step = selection.plan.steps.iter().any(|step| step.id == view.step);
            is_step && !selection.only.contains(&view.step)
        };
        let carried =
            loaded.run.step_views().filter(is_left_out).filter_map(|view| carried_from(run, view));
        let is_settled = |view: &StepView| {
            let is_wanted = selection.wanted.contains(&view.step);
            let is_skipped = view.reason == Some(Reason::ConditionFalse);
            is_wanted && (is_skipped || source_of(run, view).is_some())
        };
        let settled = loaded.run.step_views().filter(is_settled).map(|view| view.step);
        Self { run: run.clone(), carried: carried.collect(), settled: settled.collect() }
    }

    fn checked(self) -> Result<Self, Failure> {
        let bytes: usize = self.carried.iter().map(|one| one.output.to_string().len()).sum();
        if bytes <= MAX_CARRIED_BYTES {
            return Ok(self);
        }
        let (run, most) = (&self.run, MAX_CARRIED_BYTES);
        let message = format!("the outputs of run {run} have {bytes} bytes, more than {most}");
        Err(Failure::usage(message).hint("run the whole workflow"))
    }
}

async fn named_run(
    store: &Store,
    named: &str,
    selection: &Selection<'_>,
) -> Result<Earlier, Failure> {
    let run = one_run(store, named).await?;
    let loaded = Loaded::read(store, &run).await.map_err(|error| from_executor(&error))?;
    if loaded.row.fork.is_some() {
        return Err(Failure::usage(format!("--carry {run}: the run is of a fork's change"))
            .hint("name a run of the repository itself"));
    }
    Earlier::new(&loaded, selection).checked()
}

/// The run of the same plan with the most wanted steps that ended well; the newest of such.
async fn last_run(
    store: &Store,
    submission: &Submission,
    selection: &Selection<'_>,
) -> Result<Option<Earlier>, Failure> {
    let workflow = Some(selection.plan.name.clone());
    let limit = SEARCHED;
    let filter = RunFilter { workflow, without_children: true, limit, ..RunFilter::default() };
    let rows = store.runs().list(&filter).await.map_err(|error| from_store(&error))?;
    let is_same = |row: &&RunRow| row.plan == submission.plan.hash && row.fork.is_none();
    let mut best: Option<Earlier> = None;
    for row in rows.iter().filter(is_same) {
        let loaded = Loaded::read(store, &row.id).await.map_err(|error| from_executor(&error))?;
        if loaded.origin.repository != submission.origin.repository {
            continue;
        }
        let earlier = Earlier::new(&loaded, selection);
        let most = best.as_ref().map_or(0, |best| best.settled.len());
        let is_whole = earlier.settled.len() == selection.wanted.len();
        if earlier.settled.len() > most {
            best = Some(earlier);
        }
        if is_whole {
            break;
        }
    }
    best.map(Earlier::checked).transpose()
}

fn print_carried(earlier: &Earlier, files: usize) {
    let steps = listed(earlier.carried.iter().map(|one| &one.step));
    let put_back = match files {
        0 => String::new(),
        1 => "; 1 missing artifact is put back".to_owned(),
        files => format!("; {files} missing artifacts are put back"),
    };
    output::report(&format!("outputs of {steps} are those of run {}{put_back}", earlier.run));
}

fn print_missing(selection: &Selection<'_>, earlier: Option<&Earlier>) {
    let is_missing = |step: &&StepId| !earlier.is_some_and(|one| one.settled.contains(*step));
    let missing: Vec<&StepId> = selection.wanted.iter().filter(is_missing).collect();
    if missing.is_empty() {
        return;
    }
    let steps = listed(missing.into_iter());
    let nothing = match earlier {
        None => format!("no earlier run of this plan has outputs of {steps}"),
        Some(earlier) => format!("run {} has no outputs of {steps}", earlier.run),
    };
    output::report(&format!("{nothing}; a step that reads them fails"));
    output::report("  run the whole workflow once, or name a run that has them: --carry RUN");
}

fn listed<'a>(steps: impl Iterator<Item = &'a StepId>) -> String {
    let names: Vec<String> = steps.map(|step| format!("`{step}`")).collect();
    names.join(", ")
}
