//! A receiver with scripted answers, which records its requests; and a sender with a store.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, response::Response};
use jiff::Timestamp;
use plue_api::commands::{MadeWebhook, WebhookRequest};
use plue_executor::reach::Guard;
use plue_flow::{Fact, RunStatus, RunView};
use plue_forge::{Headers, Provider, Secret, verify};
use plue_plan::{Plan, RunId, Step, canonical::HashedPlan};
use plue_runtime::{Clock, Ids, Tasks, Watchdog};
use plue_server::webhooks::{Sender, WebhookAdmin};
use plue_store::{NewRun, RunCommit, Store, StoreOptions, secret::Keyring};
use serde_json::{Value as Json, json};
use tokio::{net::TcpListener, sync::Notify};

/// One received request, with its body.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Behaviour of the receiver.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Status(u16, &'static [(&'static str, &'static str)], String),
    /// No answer until the end of the test.
    Hang,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<VecDeque<Answer>>,
    received: Mutex<Vec<Received>>,
    came: Notify,
}

/// An HTTP server with scripted answers.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) address: String,
    shared: Arc<Shared>,
}

// === impl Receiver ===

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::<Shared>::default();
        let router = Router::new().fallback(take).with_state(shared.clone());
        Tasks::new().spawn("receiver", async move { axum::serve(listener, router).await });
        Self { address, shared }
    }

    /// The next answers; 204 behind them.
    pub(crate) fn answers(&self, answers: &[Answer]) {
        self.shared.answers.lock().unwrap().extend(answers.iter().cloned());
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Waits until so many have come.
    pub(crate) async fn has(&self, count: usize) -> Vec<Received> {
        loop {
            let came = self.shared.came.notified();
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            came.await;
        }
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    uri: axum::http::Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let headers = headers.iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let received =
        Received { path: uri.to_string(), headers: headers.collect(), body: body.to_vec() };
    shared.received.lock().unwrap().push(received);
    shared.came.notify_waiters();
    let answer = shared.answers.lock().unwrap().pop_front();
    match answer {
        Some(Answer::Hang) => std::future::pending().await,
        Some(Answer::Status(status, headers, body)) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            response.body(body.into()).unwrap()
        }
        None => Response::builder().status(204).body(axum::body::Body::empty()).unwrap(),
    }
}

pub(crate) fn status(status: u16) -> Answer {
    Answer::Status(status, &[], String::new())
}

// === impl Received ===

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let (_, value) = found.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(found.next().is_none(), "{name} twice");
        value
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Whether the signature is valid for this secret: by the code that verifies GitLab's deliveries.
    pub(crate) fn is_signed(&self, secret: &str, now: Timestamp) -> bool {
        let headers: Headers = self.headers.iter().cloned().collect();
        let secrets = [Secret::new(secret)];
        verify(Provider::GitLab, &secrets, &headers, &self.body, now.as_second()).is_ok()
    }
}

/// A store, a clock that is set by hand, and a sender.
pub(crate) struct World {
    pub(crate) sender: Sender,
    ahead: &'static AtomicI64,
    _folder: tempfile::TempDir,
}

// === impl World ===

impl World {
    /// `allow`: private addresses that the operator allows.
    pub(crate) async fn new(allow: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store =
            Store::open(StoreOptions::sqlite(&folder.path().join("plue.db"))).await.unwrap();
        let ahead: &'static AtomicI64 = Box::leak(Box::default());
        let clock = Clock::settable(Timestamp::from_second(1_800_000_000).unwrap(), ahead);
        let sender = Sender {
            store,
            keys: Some(Keyring::generate().unwrap()),
            guard: Guard::parse(allow).unwrap(),
            clock,
            ids: Ids::random(),
            tasks: Tasks::new(),
            watchdog: Watchdog::new(clock),
            public_url: Some("https://ci.example".to_owned()),
        };
        Self { sender, ahead, _folder: folder }
    }

    pub(crate) async fn local() -> Self {
        Self::new(&["127.0.0.1"]).await
    }

    pub(crate) fn store(&self) -> &Store {
        &self.sender.store
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.sender.clock.now()
    }

    pub(crate) fn later(&self, seconds: i64) {
        self.ahead.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    pub(crate) fn admin(&self) -> WebhookAdmin<'_> {
        let Sender { store, keys, guard, ids, clock, .. } = &self.sender;
        WebhookAdmin { store, keys: keys.as_ref().unwrap(), guard, ids, clock: *clock }
    }

    pub(crate) async fn hook(&self, url: &str) -> MadeWebhook {
        let asked = WebhookRequest {
            url: url.to_owned(),
            events: vec!["run.created".to_owned(), "run.ended".to_owned()],
            repository: None,
            description: String::new(),
        };
        self.admin().add(asked, "ann".to_owned()).await.unwrap()
    }

    /// A run: one message for each webhook.
    pub(crate) async fn run(&self, id: &str) -> RunId {
        let step: Step =
            serde_json::from_value(json!({"id": "build", "kind": "bash", "run": "true"})).unwrap();
        let sealed = HashedPlan::new(Plan::new("CI", vec![step])).unwrap();
        self.store().plans().put(&sealed).await.unwrap();
        let new = NewRun {
            id: RunId::new(id),
            workflow: "CI".to_owned(),
            source: ".plue.py".to_owned(),
            plan: sealed.hash,
            event: json!({"type": "manual"}),
            inputs: json!({"canary": "canary"}),
            repo: Some("acme/app".to_owned()),
            sha: Some("c0ffee".to_owned()),
            branch: Some("main".to_owned()),
            fork: None,
            is_child: false,
            origin: json!({}),
            created_at: self.now(),
        };
        let view =
            RunView { status: RunStatus::Queued, reason: None, started_at: None, ended_at: None };
        let mut first = RunCommit::new(new.id.clone(), 0, self.now(), view);
        first.facts.push(Fact::RunCreated {
            plan: sealed.hash,
            only: Vec::new(),
            carried: Vec::new(),
        });
        self.store().runs().create(new, first).await.unwrap().unwrap();
        RunId::new(id)
    }
}
