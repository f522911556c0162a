//! Warm evaluators: sets of zygotes per trust class, bounded, renewed, never shared between
//! classes.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use plue_runtime::{
    Clock, Ids, Tasks,
    clock::Mark,
    metrics::names::{EVALUATION_REFUSALS, ZYGOTE_RESTARTS, ZYGOTE_STARTS},
};
use plue_wire::eval::{EvalHello, EvalReply, EvalRequest, FAIR_CPU_MS, MAX_STARVED_MS};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    error::Error,
    process::{EncodedRequest, Evaluator, Failure, Seed},
};

/// Trust in a source. Evaluators of one class never see a source of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trust {
    /// Written by people who may write to the repository.
    Own,
    /// Written by anybody, like a pull request from a fork.
    Untrusted,
}

/// Start and limits of evaluators.
#[derive(Debug, Clone)]
pub struct Options {
    /// Path of the program `plue-evaluator`.
    pub evaluator: PathBuf,
    /// Pairs per trust class, at least one. An evaluation uses a pair for itself.
    pub pairs: usize,
    /// Layers of the jail that may be absent, by name.
    pub allow_missing: Vec<String>,
    /// Evaluations of one zygote before it is replaced.
    pub max_evaluations: u32,
    /// Age of a zygote at which it is replaced.
    pub max_age: Duration,
    /// Time limit for the start of a zygote.
    pub start_limit: Duration,
    /// Time that a reply may take beyond the evaluator's own limit of [`MAX_STARVED_MS`].
    pub slack: Duration,
    /// Time that all rounds of an evaluation may take together, once the evaluators are ready; of
    /// one that has had [`FAIR_CPU_MS`] of CPU.
    pub total: Duration,
    /// Evaluations that may wait for a pair, per trust class.
    pub max_waiting: usize,
}

/// Keeps evaluator processes. Cheap to clone; the processes are killed with the last clone.
#[derive(Debug, Clone)]
pub struct EvaluatorPool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: Options,
    clock: Clock,
    tasks: Tasks,
    own: Class,
    untrusted: Class,
}

#[derive(Debug)]
struct Class {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Unused pairs; never more than there are permits.
    idle: Mutex<Vec<Pair>>,
}

/// Two zygotes that differ in hash seed and heap layout, and for untrusted files a third.
#[derive(Debug)]
struct Pair {
    a: Evaluator,
    b: Evaluator,
    /// Its seed is secret, so a file cannot be written for it.
    third: Option<Evaluator>,
}

/// A pair in use. Unless it is given back, it is killed.
#[derive(Debug)]
pub(crate) struct Checkout {
    pool: EvaluatorPool,
    trust: Trust,
    pair: Option<Pair>,
    _permit: OwnedSemaphorePermit,
}

/// The end of all rounds of one evaluation together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    clock: Clock,
    start: Mark,
    total: Duration,
    /// CPU microseconds used so far.
    pub(crate) cpu_us: u64,
}

/// Replies of the two zygotes of a pair to one request.
pub(crate) type Answers = [Result<EvalReply, Failure>; 2];

// === impl Options ===

impl Options {
    /// The defaults for this evaluator.
    #[must_use]
    pub fn new(evaluator: impl Into<PathBuf>) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            evaluator: evaluator.into(),
            pairs: (cores / 2).max(1),
            allow_missing: Vec::new(),
            max_evaluations: 10_000,
            max_age: Duration::from_secs(600),
            start_limit: Duration::from_secs(10),
            slack: Duration::from_secs(2),
            total: Duration::from_millis(2_500),
            max_waiting: 1_000,
        }
    }
}

// === impl EvaluatorPool ===

impl EvaluatorPool {
    /// A pool without processes; they are started by [`EvaluatorPool::warm`] or on first use.
    #[must_use]
    pub fn new(options: Options, clock: Clock, tasks: Tasks) -> Self {
        let class = || Class {
            permits: Arc::new(Semaphore::new(options.pairs.max(1))),
            waiting: AtomicUsize::new(0),
            idle: Mutex::new(Vec::new()),
        };
        Self(Arc::new(Inner { own: class(), untrusted: class(), options, clock, tasks }))
    }

    /// Starts a pair of this class if none is idle, and does not wait for it: the first evaluation
    /// does. Call it early. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn warm(&self, trust: Trust) -> Result<(), Error> {
        let mut idle = self.idle(trust);
        if idle.is_empty() {
            idle.push(self.start_pair(trust)?);
        }
        Ok(())
    }

    /// Self-description of an evaluator of this class: build and jail.
    ///
    /// # Errors
    /// No evaluator gets ready.
    pub async fn hello(&self, trust: Trust) -> Result<EvalHello, Error> {
        let mut checkout = self.checkout(trust).await?;
        let hello = checkout.ready().await?.clone();
        checkout.give_back();
        Ok(hello)
    }

    /// Options of the pool.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Idle pairs of a class.
    #[must_use]
    pub fn idle_pairs(&self, trust: Trust) -> usize {
        self.idle(trust).len()
    }

    /// Waits for a pair of this class. It may not be ready yet.
    pub(crate) async fn checkout(&self, trust: Trust) -> Result<Checkout, Error> {
        let class = self.class(trust);
        let permit = {
            let waiting = Waiting::enter(&class.waiting, self.0.options.max_waiting)?;
            let permit = Arc::clone(&class.permits).acquire_owned().await;
            drop(waiting);
            permit.map_err(|_| Error::Busy { waiting: 0 })?
        };
        let warm = self.idle(trust).pop();
        let pair = match warm.filter(|pair| pair.is_fresh(&self.0.options, trust)) {
            Some(pair) => pair,
            None => self.start_pair(trust)?,
        };
        Ok(Checkout { pool: self.clone(), trust, pair: Some(pair), _permit: permit })
    }

    fn start_pair(&self, trust: Trust) -> Result<Pair, Error> {
        let third = match trust {
            Trust::Own => None,
            Trust::Untrusted => Some(self.start(Seed::Third(Ids::random().number()), trust)?),
        };
        Ok(Pair { a: self.start(Seed::A, trust)?, b: self.start(Seed::B, trust)?, third })
    }

    fn start(&self, seed: Seed, trust: Trust) -> Result<Evaluator, Error> {
        let Inner { options, clock, tasks, .. } = &*self.0;
        let word = match seed {
            Seed::A => "a",
            Seed::B => "b",
            Seed::Third(_) => "third",
        };
        ZYGOTE_STARTS.increment(&[("trust", trust.word()), ("seed", word)]);
        Evaluator::start(options, seed, *clock, tasks)
    }

    fn class(&self, trust: Trust) -> &Class {
        match trust {
            Trust::Own => &self.0.own,
            Trust::Untrusted => &self.0.untrusted,
        }
    }

    fn idle(&self, trust: Trust) -> std::sync::MutexGuard<'_, Vec<Pair>> {
        let idle = self.class(trust).idle.lock();
        idle.unwrap_or_else(PoisonError::into_inner)
    }
}

/// One more evaluation in the queue, as long as the value lives.
struct Waiting<'c>(&'c AtomicUsize);

// === impl Waiting ===

impl<'c> Waiting<'c> {
    fn enter(count: &'c AtomicUsize, limit: usize) -> Result<Self, Error> {
        let waiting = count.fetch_add(1, Ordering::Relaxed);
        let entered = Self(count);
        if waiting < limit {
            return Ok(entered);
        }
        EVALUATION_REFUSALS.increment(&[("reason", "busy")]);
        Err(Error::Busy { waiting })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Trust ===

impl Trust {
    /// `own` or `untrusted`, as metrics and keys have it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Untrusted => "untrusted",
        }
    }
}

// === impl Pair ===

impl Pair {
    /// True if it may serve once more; counts it as replaced if not.
    fn is_fresh(&self, options: &Options, trust: Trust) -> bool {
        let all = || [&self.a, &self.b].into_iter().chain(&self.third);
        let reason = if all().any(|evaluator| evaluator.uses >= options.max_evaluations) {
            "uses"
        } else if all().any(|evaluator| evaluator.age() >= options.max_age) {
            "age"
        } else {
            return true;
        };
        self.count_restarts(trust, reason);
        false
    }

    fn count_restarts(&self, trust: Trust, reason: &'static str) {
        for _evaluator in [&self.a, &self.b].into_iter().chain(&self.third) {
            ZYGOTE_RESTARTS.increment(&[("trust", trust.word()), ("reason", reason)]);
        }
    }
}

// === impl Deadline ===

impl Deadline {
    /// Remaining time; `None` when it is over. While the evaluation has had less than its share of
    /// the CPU, the delay counts as the machine's.
    pub(crate) fn left(&self) -> Option<Duration> {
        let starved = Duration::from_millis(MAX_STARVED_MS) + self.total;
        let fair = self.cpu_us >= FAIR_CPU_MS * 1_000;
        let total = if fair { self.total } else { starved };
        total.checked_sub(self.clock.elapsed(self.start))
    }
}

// === impl Checkout ===

impl Checkout {
    /// Waits until both are ready; they get ready side by side.
    pub(crate) async fn ready(&mut self) -> Result<&EvalHello, Error> {
        let limit = self.pool.0.options.start_limit;
        let pair = self.pair.as_mut().ok_or(Error::Busy { waiting: 0 })?;
        let (a, b) = tokio::join!(pair.a.ready(limit), pair.b.ready(limit));
        b?;
        a
    }

    /// The build of the evaluators; empty before they are ready.
    pub(crate) fn build(&self) -> &str {
        self.pair.as_ref().map_or("", |pair| pair.a.build())
    }

    /// Trust class of its files.
    pub(crate) fn trust(&self) -> Trust {
        self.trust
    }

    /// Starts the time of an evaluation.
    pub(crate) fn begin(&self) -> Deadline {
        let Inner { options, clock, .. } = &*self.pool.0;
        Deadline { clock: *clock, start: clock.mark(), total: options.total, cpu_us: 0 }
    }

    /// Sends a request to both in parallel. After a failure the pair is dropped and the next
    /// request starts another one.
    pub(crate) async fn ask(
        &mut self,
        request: &EvalRequest,
        left: Duration,
    ) -> Result<Answers, Error> {
        let encoded = EncodedRequest::new(request)?;
        let limit = self.limit(left);
        let pair = self.ready_pair().await?;
        let (a, b) = tokio::join!(pair.a.ask(&encoded, limit), pair.b.ask(&encoded, limit));
        if a.is_err() || b.is_err() {
            self.give_up();
        }
        Ok([a, b])
    }

    /// Sends a request to the third zygote; `None` if this class has none.
    pub(crate) async fn ask_third(
        &mut self,
        request: &EvalRequest,
        left: Duration,
    ) -> Result<Option<Result<EvalReply, Failure>>, Error> {
        let (limit, start_limit) = (self.limit(left), self.pool.0.options.start_limit);
        let Some(third) = &mut self.ready_pair().await?.third else {
            return Ok(None);
        };
        third.ready(start_limit).await?;
        let reply = third.ask(&EncodedRequest::new(request)?, limit).await;
        if reply.is_err() {
            self.give_up();
        }
        Ok(Some(reply))
    }

    /// The pair, or a new one after a failure; ready but for its third.
    async fn ready_pair(&mut self) -> Result<&mut Pair, Error> {
        if self.pair.is_none() {
            self.pair = Some(self.pool.start_pair(self.trust)?);
        }
        self.ready().await?;
        self.pair.as_mut().ok_or(Error::Busy { waiting: 0 })
    }

    fn limit(&self, left: Duration) -> Duration {
        left.min(Duration::from_millis(MAX_STARVED_MS) + self.pool.0.options.slack)
    }

    fn give_up(&mut self) {
        if let Some(pair) = self.pair.take() {
            pair.count_restarts(self.trust, "failed");
        }
    }

    /// Back into the pool, if the pair is whole.
    pub(crate) fn give_back(mut self) {
        let (options, trust) = (&self.pool.0.options, self.trust);
        if let Some(pair) = self.pair.take().filter(|pair| pair.is_fresh(options, trust)) {
            self.pool.idle(self.trust).push(pair);
        }
    }
}
