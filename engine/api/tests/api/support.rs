//! A server without a socket, its database, and short words for requests.

use std::{
    any::Any,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode},
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use plue_api::{
    Api, CommandError, Commands, Limits, Login, Role, RunRequest,
    commands::{
        CallbackOutcome, DecisionRequest, EventReceipt, EventRequest, FileStream, MadeWebhook,
        RepoAuthor, RepoRequest, RerunRequest, RetryRequest, RunCommands, WebhookRequest,
    },
    records::retry::RestoredFiles,
    router,
    server::Parts,
    token::{self, NewToken},
};
use plue_flow::{
    AttemptStatus, Awaited, Fact, Input, Run, RunStatus, RunView, StepStatus, StepView,
    fact::Outcome,
};
use plue_plan::{
    AttemptId, Diagnostic, Plan, RunId, RunnerId, Step, StepId, canonical::HashedPlan,
};
use plue_runtime::{Clock, Ids, Shutdown, Tasks, Watchdog};
use plue_store::{
    AttemptEnd, NewAttempt, NewRun, RepoRow, RunCommit, Store, StoreOptions,
    probe::{Call, Probe, Verdict},
    secret::Keyring,
    webhook::WebhookRow,
};
use plue_wire::{
    eval::Bytes,
    runner::{AttemptEvent, Claim, EventKind},
};
use serde_json::{Value as Json, json};
use tower::ServiceExt as _;
use zeroize::Zeroizing;

pub(crate) const REPO: &str = "acme/app";
pub(crate) const OTHER: &str = "acme/other";

/// The API in this process, with a database of its own.
pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) api: Api,
    pub(crate) store: Store,
    pub(crate) shutdown: Shutdown,
    pub(crate) tasks: Tasks,
    pub(crate) watchdog: Watchdog,
    pub(crate) asked: Arc<Recorder>,
    pub(crate) reads: Arc<Reads>,
    _directory: tempfile::TempDir,
}

/// Counts the questions to the database.
#[derive(Debug, Default)]
pub(crate) struct Reads(AtomicUsize);

impl Reads {
    /// Number of reads since the last call.
    pub(crate) fn taken(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Probe for Reads {
    fn before(&self, call: Call) -> Verdict<'_> {
        self.0.fetch_add(usize::from(!call.writes), Ordering::SeqCst);
        Box::pin(async { Ok(Box::new(()) as Box<dyn Any + Send>) })
    }

    fn after(&self, _: Call) -> Verdict<'_> {
        Box::pin(async { Ok(Box::new(()) as Box<dyn Any + Send>) })
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Keeps what the API asks for; makes the run it is asked for.
#[derive(Debug)]
pub(crate) struct Recorder {
    store: Store,
    pub(crate) submits: Mutex<Vec<(String, RunRequest, String)>>,
    pub(crate) retries: Mutex<Vec<(String, Option<String>)>>,
    pub(crate) reruns: Mutex<Vec<RerunRequest>>,
    pub(crate) decisions: Mutex<Vec<(String, DecisionRequest, String)>>,
    pub(crate) callbacks: Mutex<Vec<Json>>,
    pub(crate) events: Mutex<Vec<String>>,
    keys: Keyring,
}

// === impl Recorder ===

impl RunCommands for Recorder {
    fn submit(
        &self,
        id: RunId,
        request: RunRequest,
        by: String,
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        async move {
            self.submits.lock().unwrap().push((id.to_string(), request.clone(), by));
            if request.workflow == "missing" {
                return Err(CommandError::NotFound("there is no workflow `missing`".to_owned()));
            }
            if self.store.runs().get(&id).await.unwrap().is_none() {
                create(&self.store, id.as_str(), &request.repository).await;
            }
            Ok(())
        }
        .boxed()
    }

    fn retry(
        &self,
        run: RunId,
        request: RetryRequest,
        _: String,
    ) -> BoxFuture<'_, Result<RestoredFiles, CommandError>> {
        self.retries.lock().unwrap().push((run.to_string(), request.from));
        async { Ok(RestoredFiles { restored: 2, ..RestoredFiles::default() }) }.boxed()
    }

    fn rerun(
        &self,
        id: RunId,
        _: RunId,
        request: RerunRequest,
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        self.reruns.lock().unwrap().push(request);
        async move {
            if self.store.runs().get(&id).await.unwrap().is_none() {
                create(&self.store, id.as_str(), REPO).await;
            }
            Ok(())
        }
        .boxed()
    }
}

impl Commands for Recorder {
    fn runs(&self) -> &dyn RunCommands {
        self
    }

    fn decide(
        &self,
        run: RunId,
        step: StepId,
        answer: DecisionRequest,
        by: String,
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        self.decisions.lock().unwrap().push((format!("{run} {step}"), answer, by));
        async { Ok(()) }.boxed()
    }

    fn knows_callback(&self, token: String) -> BoxFuture<'_, Result<bool, CommandError>> {
        async move { Ok(matches!(token.as_str(), "good" | "late")) }.boxed()
    }

    fn callback(
        &self,
        token: String,
        output: Json,
    ) -> BoxFuture<'_, Result<(CallbackOutcome, Option<RunId>), CommandError>> {
        let run = Some(RunId::new("r1"));
        let first = token == "good" && self.callbacks.lock().unwrap().is_empty();
        let outcome = match token.as_str() {
            "good" if first => (CallbackOutcome::Taken, run),
            "good" => (CallbackOutcome::Duplicate, run),
            "late" => (CallbackOutcome::Expired, None),
            _ => (CallbackOutcome::Unknown, None),
        };
        if first {
            self.callbacks.lock().unwrap().push(output);
        }
        async move { Ok(outcome) }.boxed()
    }

    fn set_secret(
        &self,
        scope: String,
        name: String,
        text: Zeroizing<Vec<u8>>,
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        async move {
            self.store.secrets().put(&self.keys, &scope, &name, &text).await.unwrap();
            Ok(())
        }
        .boxed()
    }

    fn send_event(
        &self,
        repo: String,
        id: Option<String>,
        event: EventRequest,
        by: String,
    ) -> BoxFuture<'_, Result<EventReceipt, CommandError>> {
        let id = id.unwrap_or_else(|| "fresh".to_owned());
        let expected = format!("{repo} {id} {} {} {by}", event.topic, event.payload);
        let mut sent = self.events.lock().unwrap();
        let new = !sent.iter().any(|one| one.contains(&id));
        sent.push(expected);
        async move { Ok(EventReceipt { id, new }) }.boxed()
    }

    fn add_repo(
        &self,
        asked: RepoRequest,
        by: RepoAuthor,
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        async move {
            watched(&self.store, &asked.name, &asked.forge, &by.name).await;
            Ok(())
        }
        .boxed()
    }

    fn add_webhook(
        &self,
        asked: WebhookRequest,
        _: String,
    ) -> BoxFuture<'_, Result<MadeWebhook, CommandError>> {
        async move {
            if asked.url.contains("127.0.0.1") {
                let code = plue_plan::Code::new("PLUE-R0002");
                let why = Diagnostic::error(code, "an address that is not public");
                return Err(CommandError::Invalid(vec![why]));
            }
            let id = Ids::random().text();
            let events: Vec<&str> = asked.events.iter().map(String::as_str).collect();
            create_webhook(&self.store, &id, asked.repository.as_deref(), &events).await;
            Ok(MadeWebhook { id, secret: "whsec_one".to_owned() })
        }
        .boxed()
    }

    fn rotate_webhook(&self, id: String) -> BoxFuture<'_, Result<MadeWebhook, CommandError>> {
        async { Ok(MadeWebhook { id, secret: "whsec_two".to_owned() }) }.boxed()
    }

    fn remove_webhook(&self, id: String) -> BoxFuture<'_, Result<(), CommandError>> {
        async move {
            self.store.webhooks().remove(&id).await.unwrap();
            Ok(())
        }
        .boxed()
    }

    fn export(&self, run: RunId) -> BoxFuture<'_, Result<FileStream, CommandError>> {
        let parts = [format!("the file of {run}").into_bytes(), b", whole".to_vec()];
        let parts = parts.map(|part| Ok(axum::body::Bytes::from(part)));
        async { Ok(futures::stream::iter(parts).boxed()) }.boxed()
    }
}

/// Adds an outgoing webhook.
pub(crate) async fn create_webhook(store: &Store, id: &str, repo: Option<&str>, events: &[&str]) {
    let row = WebhookRow {
        id: id.to_owned(),
        url: "https://hooks.example/plue".to_owned(),
        events: events.iter().map(|event| (*event).to_owned()).collect(),
        repo: repo.map(str::to_owned),
        description: String::new(),
        created_by: "test".to_owned(),
        created_at: Clock::real().now(),
        both_until: None,
        failing_since: None,
        disabled: None,
    };
    assert!(store.webhooks().add(&row).await.unwrap());
}

/// Adds a watched repository.
pub(crate) async fn watched(store: &Store, name: &str, forge: &str, by: &str) {
    let row = RepoRow {
        name: name.to_owned(),
        forge: forge.to_owned(),
        url: format!("https://forge.example/{name}.git"),
        hook: format!("hook-{}", name.replace('/', "-")),
        default_branch: "main".to_owned(),
        added_by: by.to_owned(),
        added_at: Clock::real().now(),
    };
    store.repos().add(&row).await.unwrap();
}

/// A run whose step `ask` waits for a decision.
pub(crate) async fn asking(store: &Store, run: &str, repo: &str) -> RunId {
    let step = json!({
        "id": "ask", "kind": "approval", "message": "go?", "approvers": ["ada"],
        "fields": {"type": "object", "properties": {"n": {"type": "integer"}}},
    });
    let step: Step = serde_json::from_value(step).unwrap();
    let sealed = HashedPlan::new(Plan::new("asks", vec![step])).unwrap();
    store.plans().put(&sealed).await.unwrap();
    let (id, now) = (RunId::new(run), Clock::real().now());
    let mut folded = Run::new(id.clone(), Arc::new(sealed.plan.clone()));
    let mut facts = vec![folded.create(sealed.hash, Vec::new(), Vec::new())];
    folded.evolve(now, &facts[0]).unwrap();
    facts.extend(folded.apply(now, Input::Start).unwrap().facts);
    let queued = facts.iter().find_map(|fact| match fact {
        Fact::AttemptQueued { attempt, .. } => Some(attempt.clone()),
        _ => None,
    });
    let message = Some("go?".to_owned());
    let what = Awaited::Decision { message, approvers: vec!["ada".to_owned()], quorum: 1 };
    let waits = Input::Waits { attempt: queued.unwrap(), what, until: None, name: None };
    facts.extend(folded.apply(now, waits).unwrap().facts);
    let new = NewRun {
        id: id.clone(),
        workflow: "asks".to_owned(),
        source: "asks.plue.py".to_owned(),
        plan: sealed.hash,
        event: json!({"type": "manual", "actor": "grace"}),
        inputs: json!({}),
        repo: Some(repo.to_owned()),
        sha: None,
        branch: None,
        fork: None,
        is_child: false,
        origin: json!({}),
        created_at: now,
    };
    let mut first = RunCommit::new(id.clone(), 0, now, folded.view());
    first.facts = facts;
    first.steps = folded.step_views().collect();
    store.runs().create(new, first).await.unwrap().unwrap();
    id
}

// === impl Server ===

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("plue.db");
        Self::on(directory, StoreOptions::sqlite(&file), limits, None).await
    }

    /// With login by an issuer.
    pub(crate) async fn logging_in(login: Login) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("plue.db");
        Self::on(directory, StoreOptions::sqlite(&file), Limits::default(), Some(login)).await
    }

    /// One of several on a database.
    pub(crate) async fn replica(database: &str, login: Login) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = StoreOptions::new(database).blobs(directory.path().join("blobs"));
        Self::on(directory, options, Limits::default(), Some(login)).await
    }

    async fn on(
        directory: tempfile::TempDir,
        options: StoreOptions,
        limits: Limits,
        login: Option<Login>,
    ) -> Self {
        let store = Store::open(options).await.unwrap();
        let reads = Arc::new(Reads::default());
        let store = store.probed(reads.clone());
        let asked = Arc::new(Recorder {
            store: store.clone(),
            submits: Mutex::default(),
            retries: Mutex::default(),
            reruns: Mutex::default(),
            decisions: Mutex::default(),
            callbacks: Mutex::default(),
            events: Mutex::default(),
            keys: Keyring::generate().unwrap(),
        });
        let (shutdown, stop) = Shutdown::new();
        let (tasks, watchdog) = (Tasks::new(), Watchdog::new(Clock::real()));
        let api = Api::new(Parts {
            store: store.clone(),
            commands: asked.clone(),
            clock: Clock::real(),
            ids: Ids::random(),
            limits,
            tasks: tasks.clone(),
            watchdog: watchdog.clone(),
            drain: stop.clone(),
            stop,
            metrics: || "plue_up 1\n".to_owned(),
            login,
        });
        let router = router(api.clone());
        Self { router, api, store, shutdown, tasks, watchdog, asked, reads, _directory: directory }
    }

    /// Creates a token for the tests.
    pub(crate) async fn token(&self, role: Role, repo: Option<&str>) -> String {
        let name = format!("{}-{}", role.as_str(), repo.unwrap_or("all"));
        self.named_token(&name, role, repo).await
    }

    /// A token of this name.
    pub(crate) async fn named_token(&self, name: &str, role: Role, repo: Option<&str>) -> String {
        let wanted = NewToken {
            name: name.to_owned(),
            role,
            repo: repo.map(str::to_owned),
            expires_at: None,
            by: "test".to_owned(),
        };
        let fresh = token::fresh(&Ids::random(), wanted, Clock::real().now());
        self.store.tokens().create(&fresh.row).await.unwrap();
        fresh.token
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        self.send(request(Method::GET, path, Some(token), None)).await
    }

    pub(crate) async fn post(&self, token: &str, path: &str, body: Json) -> Answer {
        self.send(request(Method::POST, path, Some(token), Some(body))).await
    }
}

// === impl Answer ===

impl Answer {
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{body}");
        if !self.status.is_success() && self.status.as_u16() != 304 {
            assert_eq!(self.headers["content-type"], "application/problem+json", "{body}");
            assert_eq!(self.json()["status"], status);
        }
        self
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(crate) fn request(
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Option<Json>,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    match body {
        None => request.body(Body::empty()).unwrap(),
        Some(body) => {
            let request = request.header("content-type", "application/json");
            request.body(Body::from(body.to_string())).unwrap()
        }
    }
}

fn view(status: RunStatus) -> RunView {
    RunView { status, reason: None, started_at: None, ended_at: None }
}

/// A run of a repository whose journal has one fact.
pub(crate) async fn create(store: &Store, run: &str, repo: &str) -> RunId {
    let step: Step =
        serde_json::from_value(json!({"id": "build", "kind": "bash", "run": "true"})).unwrap();
    let sealed = HashedPlan::new(Plan::new("demo", vec![step])).unwrap();
    store.plans().put(&sealed).await.unwrap();
    let now = Clock::real().now();
    let new = NewRun {
        id: RunId::new(run),
        workflow: "demo".to_owned(),
        source: "demo.plue.py".to_owned(),
        plan: sealed.hash,
        event: json!({"type": "manual"}),
        inputs: json!({}),
        repo: Some(repo.to_owned()),
        sha: None,
        branch: None,
        fork: None,
        is_child: false,
        origin: json!({}),
        created_at: now,
    };
    let mut first = RunCommit::new(new.id.clone(), 0, now, view(RunStatus::Queued));
    first.facts.push(Fact::RunCreated { plan: sealed.hash, only: Vec::new(), carried: Vec::new() });
    store.runs().create(new, first).await.unwrap().unwrap();
    RunId::new(run)
}

/// An attempt of a run that a runner has started; the journal has three facts.
pub(crate) async fn started(store: &Store, run: &RunId) -> Claim {
    let now = Clock::real().now();
    let attempt = AttemptId::new(format!("{run}-a1"));
    let mut commit = RunCommit::new(run.clone(), 1, now, view(RunStatus::Running));
    commit.facts.push(Fact::RunStarted);
    let queued =
        Fact::AttemptQueued { step: "build".into(), visit: 1, number: 1, attempt: attempt.clone() };
    commit.facts.push(queued);
    commit.attempts.push(NewAttempt {
        id: attempt,
        step: "build".into(),
        visit: 1,
        number: 1,
        pool: "local".to_owned(),
        priority: 0,
        not_before: now,
    });
    store.runs().commit(commit).await.unwrap().unwrap();
    claimed(store, run).await
}

/// The queued attempt of a run, which a runner has claimed and started.
pub(crate) async fn claimed(store: &Store, run: &RunId) -> Claim {
    let now = Clock::real().now();
    let runner = RunnerId::new(format!("{run}-r"));
    store.runners().register(&runner, "local", "hash", Some(run), now).await.unwrap();
    let epoch = store.runners().greet(&runner, "hash", "boot", now).await.unwrap();
    assert!(store.runners().ready(&runner, epoch, now).await.unwrap());
    let claimed = store.attempts().claim(&runner, epoch, 1, now).await.unwrap();
    let claim = claimed[0].claim.clone();
    append(store, &claim, 1, EventKind::Started { pid: 7 }).await;
    claim
}

pub(crate) async fn append(store: &Store, claim: &Claim, seq: u64, kind: EventKind) {
    let at_us = Clock::real().now().as_microsecond();
    let event = AttemptEvent { claim: claim.clone(), seq, at_us, kind };
    let appended = store.journal().append(vec![(claim.clone(), vec![event])]).await.unwrap();
    assert_eq!(appended[0].ack_seq, Some(seq));
}

pub(crate) async fn print(store: &Store, claim: &Claim, seq: u64, text: &[u8]) {
    append(store, claim, seq, EventKind::Stdout(Bytes(text.to_vec()))).await;
}

/// Ends the attempt and its run.
pub(crate) async fn end(store: &Store, run: &RunId, claim: &Claim, seq: u64) {
    let now = Clock::real().now();
    let ended = RunView { ended_at: Some(now), ..view(RunStatus::Success) };
    let mut commit = RunCommit::new(run.clone(), 3, now, ended);
    let outcome = Outcome::Success;
    commit.facts.push(Fact::RunEnded { status: RunStatus::Success, reason: None });
    commit.steps.push(StepView {
        step: "build".into(),
        status: StepStatus::Success,
        reason: None,
        visit: 1,
        attempts: 1,
        ready_at: None,
        started_at: None,
        ended_at: Some(now),
        output: json!("done"),
    });
    commit.ends.push(AttemptEnd {
        claim: claim.clone(),
        tail: Vec::new(),
        seq: Some(seq),
        status: AttemptStatus::Done,
        outcome,
        detail: None,
    });
    store.runs().commit(commit).await.unwrap().unwrap();
}
