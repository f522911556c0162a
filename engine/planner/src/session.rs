//! The planning session of one command: from a repository, names, an event and inputs to plans.
//!
//! The evaluator is started before anything else is looked at, because it takes the longest. Must
//! not run, store or print anything.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use plue_plan::{
    Diagnostic, Event, HashedPlan, Plan,
    inputs::{Given, Missing, typed},
};
use plue_runtime::{Clock, Tasks};
use serde_json::{Map, Value as Json};

use crate::{
    CommitView, Discovery, Draft, Evaluated, Options, PlanCache, PlanError, PlanRequest,
    PlannedWorkflow, Planner, Rate, Trust, WorkTree, WorkflowFile,
};

mod builtin;
pub mod codes;
mod event;
mod inputs;
mod problem;
mod refusal;
mod roles;
mod selection;
mod warm_cache;

pub use self::{
    builtin::{PLAN_FROM_GOAL, WITHOUT_A_FILE, WithBuiltins},
    event::{base, origin_here},
    problem::{diagnostics, from_plan_error},
    refusal::{Reason, Refusal, chain},
    roles::missing_roles,
    selection::{Root, Selection, Target, repository_root},
    warm_cache::{Opening, WarmCache},
};

/// The event and inputs that a command line names.
#[derive(Debug, Clone, Default)]
pub struct Requested<'a> {
    /// File of the event, `-` for standard input; by default a person asks.
    pub event: Option<&'a Path>,
    /// Inputs as `key=value`.
    pub inputs: &'a [String],
    /// Login name, for repositories whose git settings name no user.
    pub user: Option<String>,
}

/// One plan, ready to be run.
#[derive(Debug)]
pub struct Planned {
    /// Root of the repository.
    pub repo: PathBuf,
    /// Path of the workflow file in it.
    pub path: String,
    /// The selected plan and its hash.
    pub sealed: HashedPlan,
    /// The event that the run reacts to.
    pub event: Event,
    /// Inputs of the declared types, defaults filled in.
    pub inputs: BTreeMap<String, Json>,
    /// `crate::ReadSet` as JSON.
    pub read_set: Json,
    /// Remarks about the workflow, for its author.
    pub warnings: Vec<Diagnostic>,
    /// Output of the workflow file's `print`.
    pub printed: String,
}

/// Evaluators and the repository they answer for, for one invocation.
#[derive(Debug)]
pub struct Session {
    /// Root of the repository.
    pub repo: PathBuf,
    /// Evaluates workflow files, with a cache.
    pub planner: Planner,
    /// The files that a workflow may read.
    pub view: Arc<dyn CommitView>,
    tasks: Tasks,
}

/// The event and the inputs that plans are made for.
#[derive(Debug, Clone)]
pub struct TriggerContext {
    /// The event that triggers are matched with.
    pub event: Event,
    given: Vec<(String, Given)>,
}

/// Plans the one workflow that `plue run` is about. With a goal, the plan has this goal. What was
/// planned before comes from `cache`, and no evaluator is started for it.
///
/// # Errors
/// Everything a user can cause, each with its reason; [`Reason::Infrastructure`] for the rest.
pub async fn plan_one(
    options: Options,
    selection: &Selection,
    requested: Requested<'_>,
    goal: Option<&str>,
    cache: WarmCache,
) -> Result<Planned, Refusal> {
    let session = Session::remembering(options, selection, cache.clone())?;
    let (file, context) =
        tokio::join!(session.the_file(selection.targets.first()), session.context(requested));
    let (file, context) = (file?, context?);
    let session = session.for_event(selection, &context.event);
    let name = match selection.targets.first() {
        Some(Target::Name(name)) => Some(name.as_str()),
        Some(Target::File(_)) | None => None,
    };
    let planned = session.run_ready(&file, name, context, goal).await;
    if planned.is_ok() {
        cache.note(&session.repo.join(&file));
    }
    planned.map_err(|refusal| refusal.in_repository(&session.repo))
}

// === impl Session ===

impl Session {
    /// Starts the evaluators, unless no file is likely to need one; does not wait for them.
    /// Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// The evaluator cannot be started.
    pub fn start(options: Options, selection: &Selection) -> Result<Self, Refusal> {
        let view = Arc::new(WithBuiltins(tree(selection)));
        let session = Self::cold(options, &selection.repo, view);
        session.warm(selection)?;
        Ok(session)
    }

    /// The same with plans of earlier commands: evaluators are started if they are likely needed.
    fn remembering(
        options: Options,
        selection: &Selection,
        cache: WarmCache,
    ) -> Result<Self, Refusal> {
        let view = Arc::new(WithBuiltins(tree(selection)));
        let is_known = cache.is_likely(&selection.repo.join(selection.guess()));
        let session = Self::with_cache(options, &selection.repo, view, Some(Arc::new(cache)));
        if !is_known {
            session.warm(selection)?;
        }
        Ok(session)
    }

    fn warm(&self, selection: &Selection) -> Result<(), Refusal> {
        let is_evaluated = |target: &Target| match target {
            Target::File(path) => WorkflowFile::is_evaluated(path),
            Target::Name(_) => selection.has_evaluated_file(),
        };
        let is_needed = match &*selection.targets {
            [] => selection.has_evaluated_file(),
            targets => targets.iter().any(is_evaluated),
        };
        if is_needed {
            let warm = self.planner.pool().warm(Trust::Own);
            warm.map_err(|error| from_plan_error(error.into(), &self.repo))?;
        }
        Ok(())
    }

    /// A session for any view of a repository; evaluators start when they are needed.
    #[must_use]
    pub fn cold(options: Options, repo: &Path, view: Arc<dyn CommitView>) -> Self {
        Self::with_cache(options, repo, view, None)
    }

    fn with_cache(
        options: Options,
        repo: &Path,
        view: Arc<dyn CommitView>,
        cache: Option<Arc<dyn PlanCache>>,
    ) -> Self {
        let tasks = Tasks::new();
        let (rate, clock) = (Rate::default(), Clock::real());
        let planner = Planner::with_cache(options, rate, clock, tasks.clone(), cache);
        Self { repo: repo.to_owned(), planner, view, tasks }
    }

    /// The same evaluators with another view of the repository.
    #[must_use]
    pub fn at(&self, view: Arc<dyn CommitView>) -> Self {
        Self {
            repo: self.repo.clone(),
            planner: self.planner.clone(),
            view,
            tasks: self.tasks.clone(),
        }
    }

    /// The same, with the commit that the event names as its predecessor, for `ctx.changed_files`.
    #[must_use]
    pub fn for_event(self, selection: &Selection, event: &Event) -> Self {
        match base(event) {
            Some(base) => {
                Self { view: Arc::new(WithBuiltins(tree(selection).changed_since(base))), ..self }
            }
            None => self,
        }
    }

    /// The event and inputs of the command line; the event is by default that a person asked.
    ///
    /// # Errors
    /// An event file that is no event, an input that is not `key=value`.
    pub async fn context(&self, requested: Requested<'_>) -> Result<TriggerContext, Refusal> {
        let given = inputs::parse(requested.inputs)?;
        let (repo, user) = (self.repo.clone(), requested.user);
        let file = requested.event.map(Path::to_owned);
        let event = self.tasks.spawn_blocking(move || match file {
            Some(file) => event::read(&file),
            None => Ok(event::manual(&repo, user)),
        });
        let event = event.await.map_err(|error| Refusal::infrastructure(&error))??;
        Ok(TriggerContext { event, given })
    }

    /// All workflow files of the repository, and what is wrong with the whole.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub async fn discover(&self) -> Result<Discovery, Refusal> {
        let view = Arc::clone(&self.view);
        let found = self.tasks.spawn_blocking(move || crate::discover(&*view));
        let found = found.await.map_err(|error| Refusal::infrastructure(&error))?;
        found.map_err(|error| from_plan_error(error.into(), &self.repo))
    }

    /// The files that a command is about: those named, else all.
    ///
    /// # Errors
    /// No file has the name, or there is none at all.
    pub async fn files(&self, targets: &[Target]) -> Result<Vec<String>, Refusal> {
        if targets.is_empty() {
            let found = self.discover().await?;
            if found.files.is_empty() {
                return Err(selection::no_workflow(&self.repo));
            }
            return Ok(found.files.into_iter().map(|file| file.path).collect());
        }
        let mut files = Vec::with_capacity(targets.len());
        for target in targets {
            let path = self.file(target).await?;
            if !files.contains(&path) {
                files.push(path);
            }
        }
        Ok(files)
    }

    /// The plans of one file.
    ///
    /// # Errors
    /// The file is invalid, or cannot be evaluated.
    pub async fn evaluate(
        &self,
        entry: &str,
        event: Option<Event>,
        inputs: Map<String, Json>,
    ) -> Result<Evaluated, PlanError> {
        self.planner.plan(self.request(entry, event, inputs)).await
    }

    fn request(&self, entry: &str, event: Option<Event>, inputs: Map<String, Json>) -> PlanRequest {
        PlanRequest {
            view: Arc::clone(&self.view),
            entry: entry.to_owned(),
            event,
            inputs,
            trust: Trust::Own,
            repository: self.repo.display().to_string(),
        }
    }

    /// Drafts of the plans of a file that is invalid.
    ///
    /// # Errors
    /// It cannot be evaluated again.
    pub async fn drafts(
        &self,
        entry: &str,
        context: &TriggerContext,
    ) -> Result<Vec<Draft>, Refusal> {
        let inputs = inputs::raw(&context.given);
        let drafts =
            self.planner.drafts(&self.request(entry, Some(context.event.clone()), inputs)).await;
        drafts.map_err(|error| from_plan_error(error.into(), &self.repo))
    }

    /// The plans of one file for this context. What is missing among the inputs stays missing.
    ///
    /// # Errors
    /// The file is invalid, or cannot be evaluated.
    pub async fn plans(
        &self,
        entry: &str,
        context: &TriggerContext,
    ) -> Result<Evaluated, PlanError> {
        let raw = inputs::raw(&context.given);
        let first = self.evaluate(entry, Some(context.event.clone()), raw.clone()).await?;
        let [only] = &*first.workflows else { return Ok(first) };
        let typed = typed(&context.given, &only.hashed.plan, Missing::Allowed);
        let typed: Map<String, Json> = typed.map_err(PlanError::Invalid)?.into_iter().collect();
        if typed == raw {
            return Ok(first);
        }
        self.evaluate(entry, Some(context.event.clone()), typed).await
    }

    async fn file(&self, target: &Target) -> Result<String, Refusal> {
        let name = match target {
            Target::File(path) => return Ok(path.clone()),
            Target::Name(name) => name,
        };
        let repository = self.repo.display().to_string();
        let found = self.planner.find(&self.view, name, Trust::Own, &repository).await;
        match found {
            Ok(WorkflowFile { path, .. }) => Ok(path),
            Err(error) => match builtin::named(name) {
                Some(builtin) if is_unknown(&error) => Ok(builtin.path.to_owned()),
                Some(_) | None => Err(from_plan_error(error, &self.repo)),
            },
        }
    }

    /// The file that is named, else the only one there is.
    async fn the_file(&self, target: Option<&Target>) -> Result<String, Refusal> {
        if let Some(target) = target {
            return self.file(target).await;
        }
        let found = self.discover().await?;
        match found.files.as_slice() {
            [one] => Ok(one.path.clone()),
            [] => Err(selection::no_workflow(&self.repo)),
            several => {
                let count = several.len();
                let paths: Vec<&str> = several.iter().map(|file| file.path.as_str()).collect();
                Err(Refusal::usage(format!("the repository has {count} workflow files; name one"))
                    .hint(format!("one of {}", paths.join(", "))))
            }
        }
    }

    /// One plan with its inputs checked. The workflow sees the inputs in their declared types, so it
    /// is evaluated again if those differ from what was typed.
    async fn run_ready(
        &self,
        entry: &str,
        name: Option<&str>,
        context: TriggerContext,
        goal: Option<&str>,
    ) -> Result<Planned, Refusal> {
        let failed = |error| from_plan_error(error, &self.repo);
        if goal.is_none()
            && let Some(builtin) = builtin::at(entry).filter(|builtin| builtin.needs_goal)
        {
            return Err(Refusal::usage(format!("`{}` needs a goal", builtin.name))
                .hint(format!("plue run {} --goal \"what is to be done\"", builtin.name)));
        }
        let TriggerContext { event, given } = context;
        let raw = inputs::raw(&given);
        let first = self.evaluate(entry, Some(event.clone()), raw.clone()).await;
        let mut evaluated = first.map_err(failed)?;
        let check = |plan: &Plan| {
            typed(&given, plan, inputs::REQUIRED).map_err(|diagnostics| Refusal {
                reason: Reason::Usage,
                ..Refusal::invalid(diagnostics)
            })
        };
        let mut inputs = check(&choose(&evaluated, entry, name)?.hashed.plan)?;
        let typed: Map<String, Json> = inputs.clone().into_iter().collect();
        if typed != raw {
            let again = self.evaluate(entry, Some(event.clone()), typed).await;
            evaluated = again.map_err(failed)?;
            inputs = check(&choose(&evaluated, entry, name)?.hashed.plan)?;
        }
        let workflow = choose(&evaluated, entry, name)?.clone();
        let missing = missing_roles(&workflow, &evaluated.read_set.texts);
        if !missing.is_empty() {
            return Err(Refusal::invalid(missing.into_iter().map(problem::as_error).collect()));
        }
        Ok(Planned {
            repo: self.repo.clone(),
            path: entry.to_owned(),
            sealed: with_goal(workflow.hashed, goal)?,
            event,
            inputs,
            read_set: serde_json::to_value(&*evaluated.read_set)
                .map_err(|error| Refusal::infrastructure(&error))?,
            warnings: workflow.warnings,
            printed: evaluated.printed,
        })
    }
}

/// Whether no workflow has the name.
fn is_unknown(error: &PlanError) -> bool {
    let is_unknown = |problem: &Diagnostic| problem.code == crate::codes::UNKNOWN_WORKFLOW;
    matches!(error, PlanError::Invalid(problems) if problems.iter().all(is_unknown))
}

/// The work tree with the files that were named.
fn tree(selection: &Selection) -> WorkTree {
    selection.files().fold(WorkTree::new(&selection.repo), WorkTree::including)
}

/// The plan of a file that a command is about: the only one, or the one of this name.
fn choose<'e>(
    evaluated: &'e Evaluated,
    entry: &str,
    name: Option<&str>,
) -> Result<&'e PlannedWorkflow, Refusal> {
    let names = || evaluated.workflows.iter().map(|workflow| workflow.hashed.plan.name.as_str());
    match (&*evaluated.workflows, name) {
        ([one], _) => Ok(one),
        ([], _) => Err(Refusal::not_found(format!("{entry} returns no plan"))),
        (several, Some(name)) if names().any(|known| known == name) => {
            let found = several.iter().find(|workflow| workflow.hashed.plan.name == name);
            found.ok_or_else(|| Refusal::not_found(format!("{entry} has no plan `{name}`")))
        }
        (several, _) => {
            let count = several.len();
            let names: Vec<_> = names().map(|name| format!("`{name}`")).collect();
            Err(Refusal::usage(format!("{entry} returns {count} plans; give the name of one"))
                .hint(format!("one of {}", names.join(", "))))
        }
    }
}

/// The plan with a goal, which is part of it and so of its hash.
fn with_goal(hashed: HashedPlan, goal: Option<&str>) -> Result<HashedPlan, Refusal> {
    let Some(goal) = goal else { return Ok(hashed) };
    let plan = Plan { goal: Some(goal.to_owned()), ..hashed.plan };
    let problems = plue_plan::validate::validate_with(&plan, &Default::default(), &plue_spec::Cel);
    let errors: Vec<_> = problems.into_iter().filter(problem::is_error).collect();
    if !errors.is_empty() {
        return Err(Refusal { reason: Reason::Usage, ..Refusal::invalid(errors) });
    }
    HashedPlan::new(plan).map_err(|problem| Refusal::invalid(vec![problem]))
}
