//! The planner: one door from (commit, file, event, inputs) to plans.

mod evaluation;

use std::{fmt, sync::Arc};

use plue_plan::{Diagnostic, Event, Plan};
use plue_runtime::{
    Clock, Tasks,
    metrics::names::{EVALUATION_REFUSALS, EVALUATIONS, NEGATIVE_CACHE_HITS, PLAN_CACHE_HITS},
};
use plue_wire::eval::Usage;
use serde_json::{Map, Value as Json};
use sha2::{Digest as _, Sha256};

use crate::{
    bucket::{Rate, Throttle},
    cache::{CachedPlans, Invalid, Key, Memory, PlanCache, is_static},
    codes, declared,
    difference::first_difference,
    discover::{self, WorkflowFile, discover, find_by_name},
    error::{Error, PlanError},
    judge::PlannedWorkflow,
    pool::{EvaluatorPool, Options, Trust},
    read_set::{Question, ReadSet, Verification},
    sources::Sources,
    view::CommitView,
};

/// A workflow file and the context to plan it in.
#[derive(Debug, Clone)]
pub struct PlanRequest {
    /// View of the commit.
    pub view: Arc<dyn CommitView>,
    /// Path of the workflow file.
    pub entry: String,
    /// The event; none when the workflow is only listed.
    pub event: Option<Event>,
    /// The inputs of the run.
    pub inputs: Map<String, Json>,
    /// Trust in the author of the file.
    pub trust: Trust,
    /// Repository for the rate limit of [`Trust::Untrusted`].
    pub repository: String,
}

/// The plans of one file. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// In the order the file returned them.
    pub workflows: Arc<[PlannedWorkflow]>,
    /// Sources and facts of the evaluation.
    pub read_set: Arc<ReadSet>,
    /// Output of the file's `print`.
    pub printed: String,
    /// Cost of the evaluation, over all rounds.
    pub usage: Usage,
    /// Rounds of asking; 0 from a cache of the store.
    pub rounds: u32,
    /// Source of the plans: evaluation or cache.
    pub origin: PlanSource,
}

/// Origin of plans: evaluation or a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanSource {
    /// Evaluated for this request.
    Evaluated,
    /// From the cache of this process.
    Memory,
    /// From the cache of the store.
    Stored,
}

/// Plans that were just made.
struct Made {
    evaluated: Evaluated,
    /// They may depend on the event.
    knows_event: bool,
}

/// One file of a listing.
#[derive(Debug)]
pub struct Listed {
    /// The file that was planned.
    pub file: WorkflowFile,
    /// Its plans without an event, or what is wrong with it.
    pub plans: Result<Evaluated, PlanError>,
}

/// Makes plans. Cheap to clone.
#[derive(Clone)]
pub struct Planner(Arc<Inner>);

struct Inner {
    pool: EvaluatorPool,
    tasks: Tasks,
    memory: Memory,
    invalid: Invalid,
    /// Files of a commit that are invalid for every event.
    always_invalid: Invalid,
    /// Files that failed in a commit for some event.
    failed: Invalid,
    stored: Option<Arc<dyn PlanCache>>,
    throttle: Throttle,
    /// Identifies an evaluator without starting it.
    identity: String,
}

// === impl Planner ===

impl Planner {
    /// A planner with its own pool of evaluators; nothing is started yet.
    #[must_use]
    pub fn new(options: Options, rate: Rate, clock: Clock, tasks: Tasks) -> Self {
        Self::with_cache(options, rate, clock, tasks, None)
    }

    /// With a cache that outlives the process.
    #[must_use]
    pub fn with_cache(
        options: Options,
        rate: Rate,
        clock: Clock,
        tasks: Tasks,
        stored: Option<Arc<dyn PlanCache>>,
    ) -> Self {
        let identity = identity(&options);
        Self(Arc::new(Inner {
            pool: EvaluatorPool::new(options, clock, tasks.clone()),
            throttle: Throttle::new(rate, clock),
            memory: Memory::default(),
            invalid: Invalid::default(),
            always_invalid: Invalid::default(),
            failed: Invalid::default(),
            tasks,
            stored,
            identity,
        }))
    }

    /// The pool of evaluators.
    #[must_use]
    pub fn pool(&self) -> &EvaluatorPool {
        &self.0.pool
    }

    /// The plans of one file: from a cache if nothing they were made from has changed, else by
    /// evaluation. Dropping the future ends the evaluation and its processes.
    ///
    /// # Errors
    /// [`PlanError::Invalid`] with everything that is wrong with the file, else
    /// [`PlanError::Infrastructure`].
    pub async fn plan(&self, request: PlanRequest) -> Result<Evaluated, PlanError> {
        let question = Question::of(&request);
        let sources = self.sources(&request.view, &request.entry).await?;
        let key = self.key(&sources, &question, request.trust);
        // Of a file that does not ask for the event.
        let of_any_event = self.key(&sources, &question.of_any_event(), request.trust);
        // A different event does not justify another evaluation of a hostile untrusted file.
        let file = self.key(&sources, &Question::nothing(), request.trust);
        let commit = request.view.identity();
        let of_commit = |key| commit.as_deref().map(|commit| in_commit(&key, commit));
        // A listing has no event: its key is the file's, its problems may be its own.
        let always_invalid = || self.0.always_invalid.get(&of_commit(file)?);
        let invalid_now = || self.0.invalid.get(&of_commit(key)?);
        let is_declared = declared::format(&request.entry).is_some();
        if !is_declared {
            for key in [&of_any_event, &key] {
                if let Some(found) = self.cached(key, &request.view).await? {
                    return Ok(found);
                }
            }
        }
        let invalid = always_invalid().or_else(invalid_now);
        if let Some(problems) = invalid.or_else(|| self.0.throttle.known_hostile(&key)) {
            NEGATIVE_CACHE_HITS.increment(&[]);
            return Err(PlanError::Invalid(problems));
        }
        if is_declared {
            let made = self.evaluated(&sources, &question, &request.view, request.trust).await;
            if let (Err(PlanError::Invalid(problems)), Some(key)) = (&made, of_commit(file)) {
                self.0.always_invalid.put(key, problems);
            }
            return Ok(made?.evaluated);
        }
        let has_failed = of_commit(file).is_some_and(|key| self.0.failed.get(&key).is_some());
        match request.trust {
            Trust::Untrusted => self.allow(&file, &request.repository)?,
            // Outsiders cause events of own commits as well: comments, issues.
            Trust::Own if has_failed => {
                self.charge(&format!("{} {}", request.repository, request.entry))?;
            }
            Trust::Own => {}
        }
        let made = self.evaluated(&sources, &question, &request.view, request.trust).await;
        let outcome = made.as_ref().map_or_else(PlanError::outcome, |_| "plan");
        EVALUATIONS.increment(&[("trust", request.trust.word()), ("outcome", outcome)]);
        match &made {
            Ok(made) => {
                let key = if made.knows_event { key } else { of_any_event };
                self.keep(key, &made.evaluated).await;
            }
            Err(PlanError::Invalid(problems)) if problems.iter().any(is_hostile) => {
                self.0.throttle.remember_hostile(key, problems.clone());
                if request.trust == Trust::Untrusted {
                    self.0.throttle.remember_hostile(file, problems.clone());
                }
            }
            Err(PlanError::Invalid(problems)) => {
                if problems.iter().any(is_static) {
                    of_commit(file)
                        .into_iter()
                        .for_each(|key| self.0.always_invalid.put(key, problems));
                } else {
                    of_commit(key).into_iter().for_each(|key| self.0.invalid.put(key, problems));
                }
                of_commit(file).into_iter().for_each(|key| self.0.failed.put(key, &[]));
            }
            Err(PlanError::Infrastructure(_)) => {}
        }
        Ok(made?.evaluated)
    }

    /// Every workflow file of a commit with its plans, as they are without an event. A broken file
    /// does not keep the others from being listed.
    ///
    /// # Errors
    /// The commit cannot be read.
    pub async fn list(
        &self,
        view: &Arc<dyn CommitView>,
        trust: Trust,
        repository: &str,
    ) -> Result<(Vec<Listed>, Vec<Diagnostic>), Error> {
        let reader = Arc::clone(view);
        let found = self.blocking(move || discover(&*reader)).await??;
        let mut listed = Vec::with_capacity(found.files.len());
        for file in found.files {
            let plans = self.plan(PlanRequest {
                view: Arc::clone(view),
                entry: file.path.clone(),
                event: None,
                inputs: Map::new(),
                trust,
                repository: repository.to_owned(),
            });
            let plans = plans.await;
            listed.push(Listed { file, plans });
        }
        Ok((listed, found.problems))
    }

    /// The file that a person means by `plue run NAME`: a path, the name of a file, or the name of
    /// a plan.
    ///
    /// # Errors
    /// None or more than one has this name, or the commit cannot be read.
    pub async fn find(
        &self,
        view: &Arc<dyn CommitView>,
        name: &str,
        trust: Trust,
        repository: &str,
    ) -> Result<WorkflowFile, PlanError> {
        let reader = Arc::clone(view);
        let found = self.blocking(move || discover(&*reader)).await?.map_err(Error::from)?;
        if let Some(file) = find_by_name(&found.files, name).map_err(PlanError::invalid)? {
            return Ok(file.clone());
        }
        let (listed, _) = self.list(view, trust, repository).await?;
        let plans_of = |listed: &Listed| -> Vec<String> {
            let workflows = listed.plans.iter().flat_map(|plans| plans.workflows.iter());
            workflows.map(|workflow| workflow.hashed.plan.name.clone()).collect()
        };
        let with_name = listed.iter().filter(|l| plans_of(l).iter().any(|plan| plan == name));
        let matching: Vec<&Listed> = with_name.collect();
        match matching.as_slice() {
            [one] => Ok(one.file.clone()),
            [] => {
                let plans = listed.iter().flat_map(plans_of);
                let files = found.files.iter().filter_map(|file| file.name().map(str::to_owned));
                let known: Vec<String> = plans.chain(files).collect();
                let known = known.iter().map(String::as_str);
                Err(PlanError::invalid(discover::unknown_workflow(name, known)))
            }
            several => {
                let paths: Vec<&str> = several.iter().map(|l| l.file.path.as_str()).collect();
                let message = format!("{} each hold a plan named `{name}`", paths.join(" and "));
                let ambiguous = Diagnostic::error(codes::AMBIGUOUS_WORKFLOW, message);
                let first = paths.first().copied().unwrap_or_default();
                Err(PlanError::invalid(ambiguous.hint(format!("name the file: plue run {first}"))))
            }
        }
    }

    /// Derives the plan of a run from its recorded read-set, at a view of the same commit. Bypasses
    /// all caches.
    ///
    /// # Errors
    /// An internal failure; a different plan, or none, is not an error.
    pub async fn verify(
        &self,
        record: &ReadSet,
        plan: &Plan,
        view: &Arc<dyn CommitView>,
        trust: Trust,
    ) -> Result<Verification, Error> {
        let (reader, recorded) = (Arc::clone(view), record.clone());
        let facts = self.blocking(move || recorded.differences(&*reader)).await??;
        let question = Question::recorded(record);
        let made = match self.sources(view, &record.entry).await {
            Ok(sources) => self.evaluated(&sources, &question, view, trust).await,
            Err(error) => Err(error),
        };
        let (now, problems) = match made {
            Ok(made) => (Some(made.evaluated), Vec::new()),
            Err(PlanError::Invalid(problems)) => (None, problems),
            Err(PlanError::Infrastructure(error)) => return Err(error),
        };
        let evaluator = now.as_ref().map(|now| now.read_set.evaluator.clone());
        let evaluator = evaluator.filter(|build| *build != record.evaluator);
        let evaluator = evaluator.map(|build| (record.evaluator.clone(), build));
        let plan = now.as_ref().and_then(|now| now.differs_from(plan));
        if facts.is_empty() && plan.is_none() && problems.is_empty() && evaluator.is_none() {
            return Ok(Verification::Equal);
        }
        Ok(Verification::Differs { facts, plan, evaluator, problems })
    }

    async fn sources(&self, view: &Arc<dyn CommitView>, entry: &str) -> Result<Sources, PlanError> {
        let (view, entry) = (Arc::clone(view), entry.to_owned());
        self.blocking(move || Sources::read(&*view, &entry)).await?
    }

    /// An entry whose facts still hold.
    async fn cached(
        &self,
        key: &Key,
        view: &Arc<dyn CommitView>,
    ) -> Result<Option<Evaluated>, Error> {
        if let Some(mut found) = self.0.memory.get(key)
            && self.holds(&found, view).await?
        {
            PLAN_CACHE_HITS.increment(&[("origin", "memory")]);
            found.origin = PlanSource::Memory;
            return Ok(Some(found));
        }
        let Some(stored) = &self.0.stored else {
            return Ok(None);
        };
        let bytes = stored.get(&hex::encode(key)).await;
        let Some(found) = bytes.as_deref().and_then(Evaluated::from_stored) else {
            return Ok(None);
        };
        if !self.holds(&found, view).await? {
            return Ok(None);
        }
        PLAN_CACHE_HITS.increment(&[("origin", "stored")]);
        self.0.memory.put(*key, found.clone());
        Ok(Some(found))
    }

    async fn holds(&self, found: &Evaluated, view: &Arc<dyn CommitView>) -> Result<bool, Error> {
        let record = Arc::clone(&found.read_set);
        if record.has_no_facts() {
            return Ok(true);
        }
        let view = Arc::clone(view);
        Ok(self.blocking(move || record.facts_hold(&*view)).await??)
    }

    async fn keep(&self, key: Key, evaluated: &Evaluated) {
        self.0.memory.put(key, evaluated.clone());
        if let Some(stored) = &self.0.stored {
            let bytes = CachedPlans::of(evaluated).encode();
            stored.put(&hex::encode(key), bytes).await;
        }
    }

    /// Fails if the rate limit forbids the evaluation of an untrusted file now.
    fn allow(&self, key: &Key, repository: &str) -> Result<(), PlanError> {
        if let Some(problems) = self.0.throttle.known_hostile(key) {
            NEGATIVE_CACHE_HITS.increment(&[]);
            return Err(PlanError::Invalid(problems));
        }
        self.charge(repository)
    }

    fn charge(&self, bucket: &str) -> Result<(), PlanError> {
        self.0.throttle.take(bucket).map_err(|retry_after| {
            EVALUATION_REFUSALS.increment(&[("reason", "rate")]);
            Error::TooOften { retry_after }.into()
        })
    }

    /// Everything known before an evaluation that its result may depend on; the event only where the
    /// question has it.
    fn key(&self, sources: &Sources, question: &Question, trust: Trust) -> Key {
        let mut hasher = Sha256::new();
        let trust = trust.word();
        let event = match &question.event_json {
            _ if question.of_any_event => "any",
            Some(event) => event,
            None => "none",
        };
        for part in [&self.0.identity, trust, &sources.entry, event, &question.inputs_json] {
            hasher.update(part.len().to_le_bytes());
            hasher.update(part);
        }
        sources.hash_into(&mut hasher);
        hasher.finalize().into()
    }

    async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Error> {
        let done = self.0.tasks.spawn_blocking(work).await;
        done.map_err(|_| Error::Interrupted)
    }
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planner").field("pool", &self.0.pool).finish_non_exhaustive()
    }
}

// === impl Evaluated ===

impl Evaluated {
    /// The first field in which the plan of the same name differs from this one.
    fn differs_from(&self, plan: &Plan) -> Option<crate::Difference> {
        let json = |plan: &Plan| serde_json::to_value(plan).unwrap_or_default();
        let same_name = self.workflows.iter().find(|w| w.hashed.plan.name == plan.name);
        let now = same_name.or(self.workflows.first());
        first_difference(&json(plan), &now.map_or(Json::Null, |now| json(&now.hashed.plan)))
    }
}

fn in_commit(key: &Key, commit: &str) -> Key {
    Sha256::new().chain_update(key).chain_update(commit).finalize().into()
}

/// True if the evaluation was ended from outside.
fn is_hostile(problem: &Diagnostic) -> bool {
    let killed = [
        codes::TOO_MUCH_CPU,
        codes::TOO_MUCH_MEMORY,
        codes::TOO_LONG,
        codes::DENIED,
        codes::CRASHED,
        codes::BAD_REPLY,
    ];
    killed.contains(&problem.code)
}

/// The evaluator's file, without running it: path, size and time of change; and our own version,
/// as validation is part of the result.
fn identity(options: &Options) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let ir = plue_plan::plan::IR_VERSION;
    let file = std::fs::metadata(&options.evaluator);
    let seen = file.map(|file| (file.len(), file.modified().ok()));
    format!("{version}/{ir}/{}/{seen:?}", options.evaluator.display())
}
