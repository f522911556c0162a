//! `plue serve`: the API, webhooks, schedules and runs of watched repositories, until it is stopped.
//! The first signal drains: nothing new, what runs may finish. The second ends it now.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use clap::{Args, ValueEnum};
use plue_api::{
    Api, Limits, Login,
    client::Proxies,
    descriptors, limit,
    listen::{self, Entrance},
    probes, router, server,
};
use plue_executor::{Engine, Isolation};
use plue_flow::quotas::Quotas;
use plue_plan::DurationText;
use plue_planner::{Options as PlannerOptions, Planner, Rate};
use plue_runtime::{Clock, Ids, Phase, Shutdown, Stop, TaskSet, Tasks, Watchdog, metrics};
use plue_server::{Options, Parts, Server, app::AppTokens, export::Exporter, receive, runners};
use plue_store::{Durability, Store};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

mod login;
mod machines;

use self::machines::Machines;
use crate::{
    app::App,
    browser,
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    logging::LogFormat,
    output,
    pods::PodPools,
    traces::{self, TraceOptions},
    vault,
    wiring::{self, Serving},
};

/// `plue serve`
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Roles of this process, of several on one database: `api` answers HTTP and receives webhooks,
    /// `engine` drives runs, follows schedules and collects garbage. `pool` is a part of `engine`: it
    /// starts the runners
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "api,engine",
        value_name = "ROLES"
    )]
    pub role: Vec<Role>,
    /// Address to listen on [default: 127.0.0.1:8787, which only this machine can reach]; put a proxy with
    /// TLS before any other. Without the role `api` it listens only with this option, and serves only
    /// /healthz, /readyz and /metrics
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Open the dashboard in a browser of this machine; no token is needed
    #[arg(long)]
    pub open: bool,
    /// Runs at the same time at most
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub max_runs: usize,
    /// Address of this server for people: forges are given links to runs below it, and logins come back
    /// to it
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Runs of one repository at the same time at most, over all engines of a Postgres database; half of
    /// --max-runs by default. Runs of forks do not count: they have bounds of their own
    /// (docs/how-to/server.md)
    #[arg(long, value_name = "N")]
    pub max_runs_per_repo: Option<usize>,
    /// Runners that wait for another run of the repository that they served last
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub keep_runners: usize,
    /// Time without a heartbeat after which other engines on Postgres take over the runs of an engine
    #[arg(long, default_value = "15s", value_name = "DURATION")]
    pub lease: String,
    /// The form of the log on standard error: warnings and errors, one line each with its time; more with -v
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// Send traces of runs to a collector that speaks OTLP over HTTP; without an address to
    /// `traces.endpoint`, or to port 4318 of this machine
    #[arg(long, num_args = 0..=1, default_missing_value = "", value_name = "URL")]
    pub traces: Option<String>,
}

/// A part of what a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Answers HTTP and takes webhooks in.
    Api,
    /// Processes deliveries, drives runs, follows schedules, reports to forges, collects garbage.
    Engine,
    /// Starts runners; together with `engine` only.
    Pool,
}

/// Address of a server without `--listen`.
const USUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8787);
/// Without a wake-up the store is looked at this often: other processes write to it.
const POLL: Duration = Duration::from_millis(200);
/// Between two rounds of upkeep of the metrics.
const UPKEEP: Duration = Duration::from_secs(5);
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
const LONGEST_LEASE: Duration = Duration::from_secs(600);

pub(super) fn run(args: &ServeArgs, app: &App) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::infrastructure(&error))?;
    runtime.block_on(serve(args, app))
}

async fn serve(args: &ServeArgs, app: &App) -> Outcome {
    let roles = Roles::of(&args.role)?;
    // A second recorder means that metrics are recorded already.
    let _counted = metrics::install();
    let store = wiring::open_store_for(app, Durability::Full).await?;
    let listener = bound(args.listen.or(roles.answers.then_some(USUAL))).await?;
    let (tasks, clock) = (Tasks::new(), Clock::real());
    let front = Front { places: descriptors::raise_limit(), proxies: wiring::proxies(app)? };
    let (shutdown, stop) = Shutdown::new();
    let wanted = TraceOptions { endpoint: args.traces.as_deref(), url: args.public_url.as_deref() };
    // A process that drives no run sees none end.
    let traced = if roles.drives { traces::exporter(app, Some(wanted), clock)? } else { None };
    let (exporter, traces) = traced.unzip();
    let (lease, quotas) = (duration(&args.lease)?, quotas(args, app));
    let (keep_runners, drives) = (args.keep_runners, roles.drives);
    let pods = PodPools::open(app, drives).await?.map(Arc::new);
    let serving = Serving { lease, keep_runners, drives, traces, quotas, pods: pods.clone() };
    let watchdog = Watchdog::new(clock);
    let making = Making { store: &store, tasks: &tasks, watchdog: &watchdog, stop: &stop };
    let engine = wiring::serving_engine(app, store.clone(), &tasks, serving)?;
    report_isolation(&engine, app, roles).await;
    let machines = Machines::of(&engine, pods.as_ref(), roles.drives, &store, clock)?;
    let server = server_of(args, app, &making, engine)?;
    let public = public(args, listener.as_ref());
    // Without requests no client secret is needed.
    let config = Some(&app.loaded.config.login).filter(|_| roles.answers);
    let login = config.map(|config| login::login(config, &public, clock)).transpose()?.flatten();
    // It answers for as long as it works.
    let (done, over) = Shutdown::new();
    let api = front.api(&making, &server, login, over.clone());
    let routes = if roles.answers {
        hint(&store, app).await?;
        let others =
            receive::hooks(&server).merge(runners::routes(machines.fleet(), tasks.clone()));
        router(api.clone()).merge(limit::hooks(api, others))
    } else {
        probes(api)
    };
    // Install signal handlers before printing the address.
    let interrupts = Signals::install()?;
    print_address(listener.as_ref())?;
    if roles.answers {
        offered(args, app, &store, listener.as_ref()).await?;
    }
    let _patrol = watchdog.patrol().map_err(|error| Failure::infrastructure(&error))?;
    let mut parts = TaskSet::new(&tasks, "part of the server");
    if let Some(listener) = listener {
        let Front { places, proxies } = front;
        let entrance = Entrance { listener, max_connections: places, proxies };
        parts.spawn("listen", listen::serve(entrance, routes, over.clone(), tasks.clone(), clock));
    }
    if let Some(exporter) = exporter {
        parts.spawn("export traces", exporter.work(store, over));
    }
    machines.spawn(&mut parts, &stop);
    parts.spawn("keep metrics", upkeep(clock, stop));
    parts.spawn("work", async move {
        match roles.drives {
            true => server.work().await,
            false => server.idle().await,
        }
        done.advance(Phase::Draining);
    });
    tokio::select! {
        ended = all_end(parts) => ended,
        () = signals(interrupts, &shutdown) => Ok(Exit::Ok),
    }
}

/// Waits until every part of the server has ended; one that fails ends the server.
async fn all_end(mut parts: TaskSet<&'static str, ()>) -> Outcome {
    while let Some((name, result)) = parts.next().await {
        if let Err(failure) = result {
            return Err(Failure::infrastructure(&failure).hint(format!("`{name}` of the server")));
        }
    }
    Ok(Exit::Ok)
}

async fn bound(address: Option<SocketAddr>) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = address else { return Ok(None) };
    let bound = TcpListener::bind(address).await.map_err(|error| {
        Failure::usage(format!("cannot listen on {address}: {error}"))
            .hint("another server may run; choose another port with --listen")
    });
    bound.map(Some)
}

/// The address of this server for people: the public URL, else the address it listens on.
fn public(args: &ServeArgs, listener: Option<&TcpListener>) -> String {
    let address = listener.and_then(|listener| listener.local_addr().ok()).unwrap_or(USUAL);
    args.public_url.clone().unwrap_or_else(|| format!("http://{address}"))
}

/// Prints the address: the caller waits for this line.
fn print_address(listener: Option<&TcpListener>) -> Result<(), Failure> {
    let Some(listener) = listener else { return output::line("plue drives runs") };
    let address = listener.local_addr().map_err(|error| Failure::infrastructure(&error))?;
    output::line(&format!("plue listens on http://{address}"))
}

/// Offers the dashboard to the person at this machine. The listener is bound, so the link works from now on.
async fn offered(
    args: &ServeArgs,
    app: &App,
    store: &Store,
    listener: Option<&TcpListener>,
) -> Result<(), Failure> {
    let Some(address) = listener.and_then(|listener| listener.local_addr().ok()) else {
        return Ok(());
    };
    browser::offer(app, browser::Target { store, address, to: "/" }, args.open).await
}

/// Resources that the server shares with the rest of this process.
#[derive(Clone, Copy)]
struct Making<'a> {
    store: &'a Store,
    tasks: &'a Tasks,
    watchdog: &'a Watchdog,
    stop: &'a Stop,
}

/// The side of a server that meets clients.
struct Front {
    /// Connections at the same time at most.
    places: usize,
    proxies: Proxies,
}

// === impl Front ===

impl Front {
    fn api(&self, making: &Making<'_>, server: &Server, login: Option<Login>, stop: Stop) -> Api {
        Api::new(server::Parts {
            store: making.store.clone(),
            commands: server.commands(),
            clock: Clock::real(),
            ids: Ids::random(),
            limits: self.limits(),
            tasks: making.tasks.clone(),
            watchdog: making.watchdog.clone(),
            drain: making.stop.clone(),
            stop,
            metrics: metrics::render,
            login,
        })
    }

    /// Reserves a quarter of the connections for requests that are no streams.
    fn limits(&self) -> Limits {
        let usual = Limits::default();
        let streams = usual.streams.min(self.places / 4 * 3);
        Limits { streams, proxies: self.proxies.clone(), ..usual }
    }
}

/// Warns, before the first step starts, if steps of own commits are not fully isolated.
async fn report_isolation(engine: &Engine, app: &App, roles: Roles) {
    if !roles.drives {
        return;
    }
    let warn = |text: &str| output::report(&format!("warning: {text}"));
    match engine.own_isolation().await {
        Isolation::Ready(open) => open.iter().for_each(|open| warn(open)),
        Isolation::Off => {
            warn("pools.local.mode is off: steps run as this user and read what it may read");
        }
        Isolation::Missing(why) if app.loaded.config.pools.local.mode == "required" => {
            warn(&format!("no step runs (pools.local.mode is required): {why}"));
        }
        Isolation::Missing(why) => warn(&format!(
            "steps are NOT isolated, they run as this user and may read this server's database and \
             keys: {why} (see `plue doctor`; pools.local.mode = \"required\" lets steps wait instead)"
        )),
    }
}

fn server_of(
    args: &ServeArgs,
    app: &App,
    making: &Making<'_>,
    engine: Engine,
) -> Result<Server, Failure> {
    let Making { store, tasks, watchdog, stop } = *making;
    let config = &app.loaded.config;
    let clock = Clock::real();
    let binary = app.program(config.evaluator.binary.as_deref(), "plue-evaluator");
    let mut options = PlannerOptions::new(binary);
    options.allow_missing.clone_from(&config.evaluator.allow_missing);
    Ok(Server::new(Parts {
        options: Options {
            state_dir: config.state_dir.clone(),
            quotas: quotas(args, app),
            low_water: config.limits.low_water(),
            poll: POLL,
            keep: wiring::keep(app)?,
            public_url: args.public_url.clone(),
            share_files: store.is_shared() && config.objects.url.is_some(),
            reach: wiring::reach(app)?,
            triggers: app.loaded.config.triggers.policy(),
        },
        store: store.clone(),
        engine,
        planner: Planner::new(options, Rate::default(), clock, tasks.clone()),
        keys: vault::serving_keys(app).ok(),
        exporter: Exporter::new(plue_archive::export::write::into_pipe),
        apps: AppTokens::default(),
        clock,
        ids: Ids::random(),
        tasks: tasks.clone(),
        watchdog: watchdog.clone(),
        stop: stop.clone(),
    }))
}

fn quotas(args: &ServeArgs, app: &App) -> Quotas {
    app.loaded.config.limits.quotas(args.max_runs.max(1), args.max_runs_per_repo)
}

/// The roles of this process.
#[derive(Debug, Clone, Copy)]
struct Roles {
    answers: bool,
    drives: bool,
}

// === impl Roles ===

impl Roles {
    fn of(given: &[Role]) -> Result<Self, Failure> {
        let roles =
            Self { answers: given.contains(&Role::Api), drives: given.contains(&Role::Engine) };
        if given.contains(&Role::Pool) && !roles.drives {
            return Err(Failure::usage("--role pool: there are no pools of their own yet")
                .hint("the engine that drives the runs starts their runners: --role engine"));
        }
        Ok(roles)
    }
}

/// A lease that is neither endless nor over before a sign of life could come.
fn duration(text: &str) -> Result<Duration, Failure> {
    let refused = |why: String| Failure::usage(format!("--lease {text}: {why}"));
    let lease = DurationText::new(text).parse().map_err(|error| refused(error.to_string()))?;
    if !(SHORTEST_LEASE..=LONGEST_LEASE).contains(&lease) {
        return Err(refused("from 1s to 10m".to_owned()));
    }
    Ok(lease)
}

/// Keeps the numbers of `/metrics` in bounds until the server stops.
async fn upkeep(clock: Clock, stop: Stop) {
    loop {
        tokio::select! {
            () = stop.reached(Phase::Draining) => return,
            () = clock.sleep(UPKEEP) => metrics::upkeep(),
        }
    }
}

/// Prints the next commands for a server without tokens or repositories.
async fn hint(store: &Store, app: &App) -> Result<(), Failure> {
    let tokens = store.tokens().list().await.map_err(|error| from_store(&error))?;
    if tokens.is_empty() && app.verbosity >= 0 {
        output::report("there are no tokens yet: plue token create --name me --role admin");
    }
    let repos = store.repos().list().await.map_err(|error| from_store(&error))?;
    if repos.is_empty() && app.verbosity >= 0 {
        output::report("no repository is watched yet: plue repo add OWNER/NAME PATH");
    }
    Ok(())
}

/// Signals that stop a server.
struct Signals {
    int: Signal,
    term: Signal,
}

// === impl Signals ===

impl Signals {
    fn install() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::infrastructure(&error);
        Ok(Self {
            int: signal(SignalKind::interrupt()).map_err(failed)?,
            term: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }
}

/// Ends when the server is to end now.
async fn signals(mut interrupts: Signals, shutdown: &Shutdown) {
    for phase in [Phase::Draining, Phase::Aborting] {
        tokio::select! {
            _ = interrupts.int.recv() => {}
            _ = interrupts.term.recv() => {}
        }
        if phase == Phase::Draining {
            output::report("draining: nothing new starts; again to end now");
        }
        shutdown.advance(phase);
    }
}
