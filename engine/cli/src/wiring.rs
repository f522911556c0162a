//! Putting the rooms together for one invocation: runtime, database, pool, engine.
//!
//! Only composes; each room is built from its own options.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use plue_api::client::{Network, Proxies};
use plue_executor::{
    DrivingOptions, Engine, Options, engine::Parts, perform::capacity::Capacity, reach::Guard,
    retention::Retention, trace::Traces,
};
use plue_flow::quotas::Quotas;
use plue_plan::DurationText;
use plue_pool::{
    LocalPool,
    fleet::{Fleet, FleetOptions, FleetTools},
};
use plue_runtime::{Clock, Ids, Tasks};
use plue_store::{
    Durability, Store, StoreOptions,
    blob::{Bucket, BucketOptions},
};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::{
    app::App,
    children::Children,
    exit::Exit,
    failure::{Failure, from_store},
    pods::PodPools,
};

/// Runs a future to its end. One thread: a local run waits for processes and for SQLite's own
/// thread, and handing work between threads would only cost time.
///
/// # Errors
/// The runtime cannot be created, or the error of the future.
pub fn block_on<'f, T>(
    future: impl Future<Output = Result<T, Failure>> + 'f,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::infrastructure(&error))?;
    // Without its type, the runtime's part is compiled once and not once per command.
    let future: Pin<Box<dyn Future<Output = Result<T, Failure>> + 'f>> = Box::pin(future);
    runtime.block_on(future)
}

/// Opens the database for reading and writing, and makes it if it is not there.
///
/// # Errors
/// The state directory or the database cannot be used.
pub async fn open_store(app: &App) -> Result<Store, Failure> {
    open_store_for(app, Durability::default()).await
}

/// The same, with what a commit survives.
///
/// # Errors
/// As [`open_store`].
pub async fn open_store_for(app: &App, durability: Durability) -> Result<Store, Failure> {
    let state = &app.loaded.config.state_dir;
    make_private(state).map_err(|source| Failure::state_dir(state, &source))?;
    let bucket = bucket(app)?;
    let store = Store::open(options(app).durability(durability)).await;
    Ok(with_objects(store.map_err(|error| from_store(&error))?, bucket))
}

/// Opens a database that exists, only to read.
///
/// # Errors
/// There is none, or it cannot be read.
pub async fn open_existing(app: &App) -> Result<Store, Failure> {
    if options(app).file().is_some_and(|path| !path.exists()) {
        return Err(Failure::not_found("nothing has run here yet")
            .hint(format!("the state directory is {}", app.loaded.config.state_dir.display())));
    }
    let bucket = bucket(app)?;
    let store = Store::open(options(app).existing()).await;
    Ok(with_objects(store.map_err(|error| from_store(&error))?, bucket))
}

/// Opens the database at an address, else that of the configuration, if it exists.
///
/// # Errors
/// There is none, or it cannot be used.
pub async fn open_at(app: &App, url: Option<&str>) -> Result<Store, plue_store::Error> {
    let url = url.map_or_else(|| app.loaded.database_url(), str::to_owned);
    let blobs = app.loaded.config.state_dir.join("blobs");
    Store::open(StoreOptions::new(url).blobs(blobs).existing()).await
}

fn with_objects(store: Store, bucket: Option<Bucket>) -> Store {
    match bucket {
        Some(bucket) => store.with_blob_store(Arc::new(bucket)),
        None => store,
    }
}

/// The object store of the configuration, if it names one. Nothing is asked of it yet.
///
/// # Errors
/// The configuration does not fit, or a file of a key cannot be read.
pub fn bucket(app: &App) -> Result<Option<Bucket>, Failure> {
    let config = &app.loaded.config.objects;
    let refused = |key: &str, why: &str| {
        let message = format!("objects.{key}: {why}");
        let diagnostic = plue_plan::Diagnostic::error(crate::failure::codes::CONFIG, message);
        Failure::new(Exit::Usage, diagnostic)
    };
    let Some(url) = &config.url else {
        return if config.logs {
            Err(refused("logs", "there is no objects.url"))
        } else {
            Ok(None)
        };
    };
    let mut options = BucketOptions::parse(url).map_err(|why| refused("url", &why))?;
    options.endpoint.clone_from(&config.endpoint);
    options.allow_http = config.allow_http;
    if let Some(region) = &config.region {
        options.region.clone_from(region);
    }
    if config.endpoint.as_ref().is_some_and(|at| at.starts_with("http://")) && !config.allow_http {
        return Err(refused("endpoint", "it is without TLS; objects.allow_http permits that"));
    }
    let read = |key: &str, path: &std::path::Path| {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| refused(key, &format!("{}: {error}", path.display())))?;
        Ok::<_, Failure>(text.trim().to_owned())
    };
    options.keys = match (&config.access_key_file, &config.secret_key_file) {
        (Some(name), Some(key)) => {
            Some((read("access_key_file", name)?, read("secret_key_file", key)?))
        }
        (None, None) => None,
        (Some(_), None) => return Err(refused("secret_key_file", "it is missing")),
        (None, Some(_)) => return Err(refused("access_key_file", "it is missing")),
    };
    Bucket::new(options).map(Some).map_err(|error| refused("url", &error.to_string()))
}

/// The database and, in the state directory, its larger blobs.
pub fn options(app: &App) -> StoreOptions {
    let config = &app.loaded.config;
    StoreOptions::new(app.loaded.database_url()).blobs(config.state_dir.join("blobs"))
}

/// The engine of this process.
///
/// # Errors
/// A duration of the configuration is wrong.
pub fn engine(app: &App, store: Store, tasks: &Tasks) -> Result<Engine, Failure> {
    traced_engine(app, store, tasks, None)
}

/// The same, with traces.
///
/// # Errors
/// As [`engine`].
pub fn traced_engine(
    app: &App,
    store: Store,
    tasks: &Tasks,
    traces: Option<Traces>,
) -> Result<Engine, Failure> {
    let (options, pool) = engine_parts(app, &store, tasks, false)?;
    let options = Options { traces, ..options };
    let parts =
        Parts { store, pool, clock: Clock::real(), ids: Ids::random(), tasks: tasks.clone() };
    Ok(Engine::new(options, parts))
}

/// Settings of a server's engine in addition to the configuration.
#[derive(Debug)]
pub struct Serving {
    /// Time without a heartbeat until it expires.
    pub lease: Duration,
    /// Runners kept between runs.
    pub keep_runners: usize,
    /// Whether it drives runs.
    pub drives: bool,
    /// Traces, if there are any.
    pub traces: Option<Traces>,
    /// Limits of concurrent runs: per engine, repository and pull request, and of all forks.
    pub quotas: Quotas,
    /// Pools of pods, if there are any.
    pub pods: Option<Arc<PodPools>>,
}

/// The engine of a server: one of several perhaps.
///
/// # Errors
/// As [`engine`].
pub fn serving_engine(
    app: &App,
    store: Store,
    tasks: &Tasks,
    serving: Serving,
) -> Result<Engine, Failure> {
    let (mut options, pool) = engine_parts(app, &store, tasks, true)?;
    options.workspaces.root = Some(app.loaded.config.state_dir.join("workspaces"));
    let Serving { lease, keep_runners, drives, traces, quotas, pods } = serving;
    let pods = pods.as_deref();
    let (commit_only, quotas) = (!drives, Some(quotas));
    options.driving = DrivingOptions { lease, hand_over: true, commit_only, ..options.driving };
    let has_default_pool = pods.is_some_and(PodPools::have_default);
    let capacity = options.capacity.with_default_pool(has_default_pool);
    let options = Options { traces, quotas, capacity, ..options };
    let clock = Clock::real();
    let options_of_fleet = FleetOptions {
        limits: app.loaded.config.limits.run_limits(),
        serves_untrusted: pods.is_some_and(PodPools::serve_untrusted),
        ..FleetOptions::default()
    };
    let admits = pods.map(|pods| pods.identity(&store, clock)).into_iter().collect();
    let tools = FleetTools { store: store.clone(), clock, tasks: tasks.clone() };
    let fleet = Fleet::new(options_of_fleet, admits, tools);
    let pool = pool.with_idle_room(keep_runners).with_fleet(fleet);
    let parts = Parts { store, pool, clock, ids: Ids::random(), tasks: tasks.clone() };
    Ok(Engine::new(options, parts))
}

fn engine_parts(
    app: &App,
    store: &Store,
    tasks: &Tasks,
    on_server: bool,
) -> Result<(Options, LocalPool), Failure> {
    hide()?;
    let config = &app.loaded.config;
    let clock = Clock::real();
    let pool = LocalPool::new(
        plue_pool::Options {
            binary: app.program(config.runner.binary.as_deref(), "plue-runner"),
            directory: config.state_dir.join("runners"),
        },
        store.clone(),
        clock,
        tasks.clone(),
    );
    let pool = pool.with_environment(app.environment.of_steps(&config.runner.env));
    let pool = pool.with_limits(config.limits.run_limits());
    let pool = match config.pools.untrusted.sandbox() {
        Some(sandbox) => pool.with_untrusted_sandbox(sandbox),
        None => pool,
    };
    let pool = match config.pools.local.sandbox(on_server) {
        Some(sandbox) => pool.with_own_sandbox(sandbox),
        None => pool,
    };
    let mut options = Options::new(config.state_dir.join("locks"));
    let grace = config.runner.grace.parse();
    options.attempts.grace = grace.map_err(|error| wrong("runner.grace", &error))?;
    options.attempts.log_cap_bytes = config.runner.log_limit_bytes;
    options.workspaces.checkpoints = config.checkpoints.mode != "off";
    options.driving.control_poll = Duration::from_millis(200);
    let runner = &config.runner;
    options.capacity = Capacity::of_this_machine()
        .with(&runner.resources, &runner.labels)
        .map_err(|error| wrong("runner.resources", &error))?;
    options.claude = Some(crate::claude::claude(app)?);
    options.calls = reach(app)?;
    options.attempts.untrusted_timeout = config.limits.untrusted_timeout();
    options.workflows = Some(Arc::new(Children::new(app)));
    Ok((options, pool))
}

/// The proxies that may name the client of a request.
///
/// # Errors
/// An entry is no address and no network.
pub fn proxies(app: &App) -> Result<Proxies, Failure> {
    let texts = app.loaded.config.trusted_proxies.iter();
    let networks: Result<Vec<Network>, _> = texts.map(|text| text.trim().parse()).collect();
    networks.map(Proxies::new).map_err(|error| wrong("trusted_proxies", &error))
}

/// Hides this process from others of its user: keys and secrets are in its memory and in its
/// environment, and steps may be that user's.
fn hide() -> Result<(), Failure> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| Failure::infrastructure(&std::io::Error::from(error)))
}

/// Targets of calls and webhooks in addition to public addresses.
///
/// # Errors
/// An entry of the configuration is none.
pub fn reach(app: &App) -> Result<Guard, Failure> {
    Guard::parse(&app.loaded.config.calls.allow).map_err(|error| wrong("calls.allow", &error))
}

/// A key of the configuration whose value cannot be used.
fn wrong(key: &str, error: &dyn std::error::Error) -> Failure {
    let message = format!("{key}: {error}");
    let diagnostic = plue_plan::Diagnostic::error(crate::failure::codes::CONFIG, message);
    Failure::new(Exit::Usage, diagnostic)
}

/// A directory that only this user may look into: logs may hold what was not meant to be shown.
fn make_private(path: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The retention of each kind of data.
///
/// # Errors
/// A duration of the configuration, which was checked when it was read.
pub fn keep(app: &App) -> Result<Retention, Failure> {
    let config = &app.loaded.config;
    let read = |text: &DurationText| {
        text.parse().map_err(|error| Failure::usage(format!("{text}: {error}")))
    };
    Ok(Retention {
        runs: read(&config.retention)?,
        untrusted_runs: read(&config.limits.untrusted_retention)?,
        artifacts: read(&config.artifacts.retention)?,
        caches: read(&config.cache.retention)?,
        cache_quota: config.cache.quota_bytes,
        logs_in_blob_store: config.objects.logs,
    })
}
