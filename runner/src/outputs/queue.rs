//! The dispatcher's side of the output uploader: queues jobs, forwards questions and their answers
//! in order.

use std::collections::{HashMap, VecDeque};

use plue_plan::{AttemptId, artifacts::ArtifactRules};
use plue_runtime::{Clock, Tasks};
use plue_wire::{
    outputs::{Answer, OutputSpec, Question},
    runner::Claim,
};
use tokio::sync::{mpsc, oneshot};

use super::{ContentClient, Job, WorkDirs, work};
use crate::attempt::Report;

/// Jobs that wait. Outputs of further attempts are not collected.
const MAX_JOBS: usize = 4_096;
/// Questions without an answer; the uploader asks one at a time.
const MAX_UNANSWERED: usize = 2;
/// Attempts that were announced and not assigned yet.
const MAX_ANNOUNCED: usize = 4_096;

/// A question of the output uploader, with the channel for its answer.
#[derive(Debug)]
pub(crate) struct ContentRequest {
    pub(crate) question: Question,
    pub(crate) reply: oneshot::Sender<Answer>,
    /// Whether it may wait for an engine; otherwise it is dropped while there is none.
    pub(crate) can_wait: bool,
}

#[derive(Debug)]
pub(crate) struct OutputQueue {
    dirs: WorkDirs,
    clock: Clock,
    /// Output specs of attempts that are announced or run.
    specs: HashMap<AttemptId, (Claim, Box<OutputSpec>)>,
    /// The jobs of the uploader's thread, which starts with the first one.
    jobs: Option<mpsc::Sender<Job>>,
    requests: mpsc::Sender<ContentRequest>,
    new_requests: mpsc::Receiver<ContentRequest>,
    unanswered: VecDeque<ContentRequest>,
    /// Whether the workspace was scanned once.
    is_scanned: bool,
}

// === impl OutputQueue ===

impl OutputQueue {
    pub(crate) fn new(dirs: WorkDirs, clock: Clock) -> Self {
        let (requests, new_requests) = mpsc::channel(MAX_UNANSWERED);
        Self {
            dirs,
            clock,
            specs: HashMap::new(),
            jobs: None,
            requests,
            new_requests,
            unanswered: VecDeque::new(),
            is_scanned: false,
        }
    }

    /// Stores the output spec of an attempt that will be assigned.
    pub(crate) fn announce(&mut self, claim: Claim, spec: Box<OutputSpec>) {
        if self.specs.len() < MAX_ANNOUNCED {
            self.specs.insert(claim.attempt.clone(), (claim, spec));
        }
    }

    /// Stores the consequences of missing and lost artifacts of an announced attempt.
    pub(crate) fn announce_rules(&mut self, claim: &Claim, rules: ArtifactRules) {
        if let Some((known, spec)) = self.specs.get_mut(&claim.attempt)
            && known == claim
        {
            spec.rules = rules;
        }
    }

    pub(crate) fn spec(&self, claim: &Claim) -> Option<&OutputSpec> {
        let (known, spec) = self.specs.get(&claim.attempt)?;
        (known == claim).then_some(spec)
    }

    pub(crate) fn forget(&mut self, claim: &Claim) {
        if self.spec(claim).is_some() {
            self.specs.remove(&claim.attempt);
        }
    }

    /// The job that precedes the process of an attempt, if it needs one.
    pub(crate) fn prepare_job(&self, claim: &Claim) -> Option<Job> {
        let spec = self.spec(claim)?;
        let is_needed =
            spec.pure.is_some() || spec.cache.is_some() || (spec.checkpoint && !self.is_scanned);
        is_needed.then(|| Job::Prepare(claim.clone(), Box::new(spec.clone())))
    }

    /// The uploader has scanned the workspace.
    pub(crate) fn note_scanned(&mut self) {
        self.is_scanned = true;
    }

    /// Queues a job for the uploader; `false` if there is no room.
    pub(crate) fn submit(&mut self, job: Job, reports: &mpsc::Sender<Report>) -> bool {
        let client = self.client();
        let jobs = self.jobs.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(MAX_JOBS);
            let (dirs, clock, reports) = (self.dirs.clone(), self.clock, reports.clone());
            // Not among the tasks that the runner waits for: it ends with the sender of its jobs.
            Tasks::new().spawn_blocking(move || work(&dirs, clock, client, receiver, reports));
            sender
        });
        jobs.try_send(job).is_ok()
    }

    /// A client whose questions wait for an engine, for a thread of its own.
    pub(crate) fn client(&self) -> ContentClient {
        ContentClient::new(self.requests.clone())
    }

    /// The next question of the uploader. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<ContentRequest> {
        if self.unanswered.len() >= MAX_UNANSWERED {
            return std::future::pending().await;
        }
        self.new_requests.recv().await
    }

    /// Adds a question to those without an answer; returns it.
    pub(crate) fn track(&mut self, request: ContentRequest) -> &Question {
        self.unanswered.push_back(request);
        let at = self.unanswered.len() - 1;
        &self.unanswered[at].question
    }

    /// The questions to send again in a new session, in order.
    pub(crate) fn unanswered(&self) -> Vec<Question> {
        self.unanswered.iter().map(|request| request.question.clone()).collect()
    }

    /// Hands the answer to the oldest question on.
    pub(crate) fn deliver(&mut self, answer: Answer) {
        if let Some(request) = self.unanswered.pop_front() {
            let _uploader_is_gone = request.reply.send(answer);
        }
    }

    /// Accepts no further job; the uploader ends after those that it has.
    pub(crate) fn close(&mut self) {
        self.jobs = None;
    }

    /// Whether an uploader still works, or a question has no answer.
    pub(crate) fn is_busy(&self) -> bool {
        let has_clients = self.requests.strong_count() > 1;
        has_clients || !self.new_requests.is_empty() || !self.unanswered.is_empty()
    }

    /// Drops questions that cannot wait for an engine; the uploader notices.
    pub(crate) fn drop_impatient(&mut self) {
        self.unanswered.retain(|request| request.can_wait);
    }
}
