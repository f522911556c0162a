//! The dispatcher's side of the keeper: jobs in, questions out, answers back in order.

use std::collections::{HashMap, VecDeque};

use plue_plan::{AttemptId, artifacts::ArtifactRules};
use plue_runtime::{Clock, Tasks};
use plue_wire::{
    keep::{Answer, Care, Question},
    runner::Claim,
};
use tokio::sync::{mpsc, oneshot};

use super::{Engine, Job, Places, work};
use crate::attempt::Report;

/// Jobs that wait. More attempts than this at once are not looked after.
const MAX_JOBS: usize = 4_096;
/// Questions without an answer; the keeper asks one at a time.
const MAX_OPEN: usize = 2;
/// Attempts that were announced and not assigned yet.
const MAX_ANNOUNCED: usize = 4_096;

/// A question and where its answer goes.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) question: Question,
    pub(crate) reply: oneshot::Sender<Answer>,
    /// Whether it may wait for an engine; else it is dropped when there is none.
    pub(crate) can_wait: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Desk {
    places: Places,
    clock: Clock,
    /// What is to be kept of attempts that are announced or run.
    care: HashMap<AttemptId, (Claim, Box<Care>)>,
    jobs: Option<mpsc::Sender<Job>>,
    asks: (mpsc::Sender<Ask>, mpsc::Receiver<Ask>),
    open: VecDeque<Ask>,
    /// Whether the workspace has been looked at.
    has_begun: bool,
}

// === impl Desk ===

impl Desk {
    pub(crate) fn new(places: Places, clock: Clock) -> Self {
        let asks = mpsc::channel(MAX_OPEN);
        let (care, open) = (HashMap::new(), VecDeque::new());
        Self { places, clock, care, jobs: None, asks, open, has_begun: false }
    }

    /// Takes down what is to be kept of an attempt that will be assigned.
    pub(crate) fn announce(&mut self, claim: Claim, care: Box<Care>) {
        if self.care.len() < MAX_ANNOUNCED {
            self.care.insert(claim.attempt.clone(), (claim, care));
        }
    }

    /// Takes down what missing and lost artifacts mean for an announced attempt.
    pub(crate) fn announce_rules(&mut self, claim: &Claim, rules: ArtifactRules) {
        if let Some((known, care)) = self.care.get_mut(&claim.attempt)
            && known == claim
        {
            care.rules = rules;
        }
    }

    /// What is to be kept of an attempt.
    pub(crate) fn care(&self, claim: &Claim) -> Option<&Care> {
        let (known, care) = self.care.get(&claim.attempt)?;
        (known == claim).then_some(care)
    }

    /// Nothing more is to be kept of an attempt.
    pub(crate) fn forget(&mut self, claim: &Claim) {
        if self.care(claim).is_some() {
            self.care.remove(&claim.attempt);
        }
    }

    /// The job that comes before the process of an attempt, if there is one.
    pub(crate) fn before(&self, claim: &Claim) -> Option<Job> {
        let care = self.care(claim)?;
        let is_needed =
            care.pure.is_some() || care.cache.is_some() || (care.checkpoint && !self.has_begun);
        is_needed.then(|| Job::Before(claim.clone(), Box::new(care.clone())))
    }

    /// The workspace has been looked at.
    pub(crate) fn has_looked(&mut self) {
        self.has_begun = true;
    }

    /// Gives the keeper a job; tells whether it was taken.
    pub(crate) fn give(&mut self, job: Job, reports: &mpsc::Sender<Report>) -> bool {
        let jobs = self.jobs.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(MAX_JOBS);
            let engine = Engine::new(self.asks.0.clone());
            let (places, clock, reports) = (self.places.clone(), self.clock, reports.clone());
            // Not among the tasks that the runner waits for: it ends with the sender of its jobs.
            Tasks::new().spawn_blocking(move || {
                work(&places, clock, engine, (receiver, reports));
            });
            sender
        });
        jobs.try_send(job).is_ok()
    }

    /// The next question of the keeper. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Ask> {
        if self.open.len() >= MAX_OPEN {
            return std::future::pending().await;
        }
        self.asks.1.recv().await
    }

    /// A question waits for its answer from now on.
    pub(crate) fn asked(&mut self, ask: Ask) -> &Question {
        self.open.push_back(ask);
        let at = self.open.len() - 1;
        &self.open[at].question
    }

    /// Questions that a new session must be asked again.
    pub(crate) fn unanswered(&self) -> Vec<Question> {
        self.open.iter().map(|ask| ask.question.clone()).collect()
    }

    /// Hands an answer on.
    pub(crate) fn answered(&mut self, answer: Answer) {
        if let Some(ask) = self.open.pop_front() {
            let _nobody_waits = ask.reply.send(answer);
        }
    }

    /// There is no engine: what cannot wait for one is dropped, which tells the keeper.
    pub(crate) fn is_alone(&mut self) {
        self.open.retain(|ask| ask.can_wait);
    }
}
