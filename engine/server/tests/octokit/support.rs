//! A server without a socket that watches one repository of GitHub.

use std::{path::Path, process::Command, sync::atomic::AtomicI64, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode},
};
use hmac::{Hmac, Mac as _};
use plue_api::{Api, Limits, limit, router};
use plue_executor::{Engine, retention::Retention};
use plue_planner::{Options as PlannerOptions, Planner, Rate};
use plue_pool::LocalPool;
use plue_runtime::{Clock, Ids, Shutdown, Tasks, Watchdog};
use plue_server::{Options, Parts, Server, app::AppTokens, export::Exporter, receive, secrets};
use plue_store::{RepoRow, Store, StoreOptions, secret::Keyring};
use sha2::Sha256;
use tower::ServiceExt as _;

const SECRET: &str = "It's a Secret to Everybody";
pub(crate) const HOOK: &str = "4f2d0c";

/// Microseconds that the server's clock is ahead: time for refs that are gone to be taken for gone.
pub(crate) static AHEAD_US: AtomicI64 = AtomicI64::new(0);

/// A server and what it stands on.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) server: Server,
    router: Router,
    _shutdown: Shutdown,
    _directory: tempfile::TempDir,
}

// === impl World ===

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let bare = directory.path().join("app.git");
        repository(directory.path(), &bare);
        std::fs::create_dir(&state).unwrap();
        let url = format!("sqlite:{}", state.join("plue.db").display());
        let store = Store::open(StoreOptions::new(url).blobs(state.join("blobs"))).await.unwrap();
        let (clock, ids, tasks) =
            (Clock::settable(Clock::real().now(), &AHEAD_US), Ids::random(), Tasks::new());
        let keys = Keyring::generate().unwrap();
        watch(&store, &keys, &bare).await;
        let (shutdown, stop) = Shutdown::new();
        let watchdog = Watchdog::new(clock);
        let engine = engine(&store, &state, clock, (&ids, &tasks));
        let long = Duration::from_secs(60 * 60);
        let server = Server::new(Parts {
            options: Options {
                state_dir: state,
                quotas: plue_flow::quotas::Quotas::of(1),
                low_water: plue_executor::disk::LowWater::default(),
                poll: Duration::from_millis(200),
                keep: Retention {
                    untrusted_runs: Duration::from_secs(24 * 60 * 60),
                    runs: long,
                    artifacts: long,
                    caches: long,
                    cache_quota: 1 << 20,
                    logs_in_blob_store: false,
                },
                public_url: None,
                share_files: false,
                reach: plue_executor::reach::Guard::default(),
                triggers: plue_server::permission::TriggerPolicy::default(),
            },
            store: store.clone(),
            engine,
            planner: Planner::new(
                PlannerOptions::new("plue-evaluator"),
                Rate::default(),
                clock,
                tasks.clone(),
            ),
            keys: Some(keys),
            exporter: Exporter::new(|_, _, _| Err("nothing is exported here".to_owned())),
            apps: AppTokens::default(),
            clock,
            ids: ids.clone(),
            tasks: tasks.clone(),
            watchdog: watchdog.clone(),
            stop: stop.clone(),
        });
        let api = Api::new(plue_api::server::Parts {
            store: store.clone(),
            commands: server.commands(),
            clock,
            ids,
            limits: Limits::default(),
            tasks,
            watchdog,
            drain: stop.clone(),
            stop,
            metrics: String::new,
            login: None,
        });
        let hooks = limit::hooks(api.clone(), receive::hooks(&server));
        let router = router(api).merge(hooks);
        Self { store, server, router, _shutdown: shutdown, _directory: directory }
    }

    /// Delivers as GitHub does.
    pub(crate) async fn deliver(&self, event: &str, id: &str, body: &str) -> StatusCode {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/hooks/github/{HOOK}"))
            .header("content-type", "application/json")
            .header("x-github-event", event)
            .header("x-github-delivery", id)
            .header("x-hub-signature-256", signature)
            .body(Body::from(body.to_owned()))
            .unwrap();
        self.router.clone().oneshot(request).await.unwrap().status()
    }

    pub(crate) async fn get(&self, path: &str) -> StatusCode {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        self.router.clone().oneshot(request).await.unwrap().status()
    }
}

fn engine(store: &Store, state: &Path, clock: Clock, (ids, tasks): (&Ids, &Tasks)) -> Engine {
    let pool = LocalPool::new(
        plue_pool::Options { binary: "plue-runner".into(), directory: state.join("runners") },
        store.clone(),
        clock,
        tasks.clone(),
    );
    Engine::new(
        plue_executor::Options::new(state.join("locks")),
        plue_executor::engine::Parts {
            store: store.clone(),
            pool,
            clock,
            ids: ids.clone(),
            tasks: tasks.clone(),
        },
    )
}

async fn watch(store: &Store, keys: &Keyring, bare: &Path) {
    // Most of the examples are about it.
    let name = "Codertocat/Hello-World".to_owned();
    let scope = secrets::hook_scope_of(&name);
    store.secrets().put(keys, &scope, secrets::HOOK_SECRET, SECRET.as_bytes()).await.unwrap();
    let repo = RepoRow {
        name,
        forge: "github".to_owned(),
        url: bare.display().to_string(),
        hook: HOOK.to_owned(),
        default_branch: "main".to_owned(),
        added_by: "test".to_owned(),
        added_at: Clock::real().now(),
    };
    store.repos().add(&repo).await.unwrap();
}

/// A bare repository with one commit and no workflow.
fn repository(home: &Path, bare: &Path) {
    let work = home.join("work");
    std::fs::create_dir(&work).unwrap();
    std::fs::write(work.join("README.md"), "words\n").unwrap();
    let (bare, commit) = (bare.to_str().unwrap(), ["commit", "-q", "-m", "x"]);
    let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.invalid"];
    for args in [
        &["init", "-q", "--bare", "-b", "main", bare][..],
        &["init", "-q", "-b", "main"],
        &["add", "-A"],
        &[&who[..], &commit].concat(),
        &["push", "-q", bare, "HEAD:main"],
    ] {
        let mut git = Command::new("git");
        git.args(args).current_dir(&work).env("HOME", home).env("GIT_CONFIG_NOSYSTEM", "1");
        assert!(git.status().unwrap().success(), "git {args:?}");
    }
}
