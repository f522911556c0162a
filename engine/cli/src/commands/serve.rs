//! `plue serve`: the API, webhooks, schedules and runs of watched repositories, until it is stopped.
//! The first signal drains: nothing new, what runs may finish. The second ends it now.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use clap::{Args, ValueEnum};
use futures::FutureExt as _;
use plue_api::{Api, Limits, limit, probes, router, server};
use plue_planner::{Options as PlannerOptions, Planner, Rate};
use plue_runtime::{Clock, Ids, Phase, Shutdown, Stop, Tasks, metrics};
use plue_server::{
    Options, Parts, Server, app::AppTokens, descriptors, export::Exporter, listen, receive,
};
use plue_store::{Durability, Store};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

mod login;

use crate::{
    app::App,
    archive,
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    output,
    traces::{self, Wanted},
    vault,
    wiring::{self, Serving},
};

/// `plue serve`
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// What this process does, of several on one database: `api` answers HTTP and takes webhooks in,
    /// `engine` drives runs, follows schedules and keeps house. `pool` is a part of `engine`: runners
    /// are started beside it
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "api,engine",
        value_name = "ROLES"
    )]
    pub role: Vec<Role>,
    /// Where it listens, 127.0.0.1:8787 unless said. Only this machine can reach that; put a proxy that
    /// speaks TLS before any other. Without the role `api` it listens only if this is said, and only
    /// tells how it is: /healthz, /readyz, /metrics
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Runs at the same time at most
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub max_runs: usize,
    /// Address of this server for people: forges are given links to runs below it, and logins come back
    /// to it
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Runs of one repository at the same time at most, over all engines of a Postgres database
    #[arg(long, value_name = "N")]
    pub max_runs_per_repo: Option<usize>,
    /// Runners that wait for another run in the workspace of their last one
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub keep_runners: usize,
    /// How long an engine on Postgres may be silent before the others take its runs over
    #[arg(long, default_value = "15s", value_name = "DURATION")]
    pub lease: String,
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
    /// Takes in what came, drives runs, follows schedules, tells forges, keeps house.
    Engine,
    /// Starts runners; together with `engine` only.
    Pool,
}

/// Where a server listens unless it is told.
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
    // A second recorder means that somebody counts already.
    let _counted = metrics::install();
    let store = wiring::open_store_for(app, Durability::Full).await?;
    let listener = match args.listen.or(roles.answers.then_some(USUAL)) {
        Some(address) => Some(bound(address).await?),
        None => None,
    };
    let (tasks, clock) = (Tasks::new(), Clock::real());
    let places = descriptors::make_room();
    let (shutdown, stop) = Shutdown::new();
    let wanted = Wanted { endpoint: args.traces.as_deref(), url: args.public_url.as_deref() };
    // Who drives no run sees none end.
    let traced = if roles.drives { traces::exporter(app, Some(wanted), clock)? } else { None };
    let (exporter, traces) = traced.map_or((None, None), |(one, two)| (Some(one), Some(two)));
    let serving = Serving {
        lease: duration(&args.lease)?,
        keep_runners: args.keep_runners,
        drives: roles.drives,
        traces,
    };
    let server = server_of(args, app, (&store, serving), &tasks, &shutdown)?;
    let public = public(args, listener.as_ref());
    // Who answers nobody needs no client secret.
    let config = roles.answers.then_some(&app.loaded.config.login);
    let login = config.map(|config| login::login(config, &public, clock)).transpose()?.flatten();
    let api = Api::new(server::Parts {
        store: store.clone(),
        commands: Arc::new(server.clone()),
        clock,
        ids: Ids::random(),
        limits: limits(places),
        tasks: tasks.clone(),
        stop: stop.clone(),
        metrics: metrics::render,
        login,
    });
    let routes = if roles.answers {
        hint(&store, app).await?;
        let hooks = limit::hooks(api.clone(), receive::hooks(server.clone()));
        router(api).merge(hooks)
    } else {
        probes(api)
    };
    // Heard from before it says that it is there: until then a signal would just kill it.
    let heard = Signals::install()?;
    said(listener.as_ref())?;
    let mut watch = std::pin::pin!(signals(heard, &shutdown));
    let listens = async {
        if let Some(listener) = listener {
            listen::serve((listener, places), routes, stop.clone(), tasks.clone(), clock).await;
        }
    };
    let (done, over) = oneshot::channel::<()>();
    let works = async {
        match roles.drives {
            true => Box::pin(server.work()).await,
            false => server.attend().await,
        }
        drop(done);
    };
    let exports = async {
        if let Some(exporter) = exporter {
            exporter.work(store.clone(), over.map(drop)).await;
        }
    };
    let work = async { tokio::join!(works, upkeep(clock, stop.clone()), listens, exports) };
    tokio::select! {
        ((), (), (), ()) = work => {}
        () = &mut watch => {}
    }
    Ok(Exit::Ok)
}

/// Whoever only asks something finds one of so many connections, whatever others follow.
fn limits(places: usize) -> Limits {
    let usual = Limits::default();
    Limits { streams: usual.streams.min(places / 4 * 3), ..usual }
}

async fn bound(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::usage(format!("cannot listen on {address}: {error}"))
            .hint("another server may run; choose another port with --listen")
    })
}

/// The address of this server for people, if nobody has said it: where it listens.
fn public(args: &ServeArgs, listener: Option<&TcpListener>) -> String {
    let address = listener.and_then(|listener| listener.local_addr().ok()).unwrap_or(USUAL);
    args.public_url.clone().unwrap_or_else(|| format!("http://{address}"))
}

/// Says where it listens: whoever started it waits for this line.
fn said(listener: Option<&TcpListener>) -> Result<(), Failure> {
    let Some(listener) = listener else { return output::line("plue drives runs") };
    let address = listener.local_addr().map_err(|error| Failure::infrastructure(&error))?;
    output::line(&format!("plue listens on http://{address}"))
}

fn server_of(
    args: &ServeArgs,
    app: &App,
    (store, serving): (&Store, Serving),
    tasks: &Tasks,
    shutdown: &Shutdown,
) -> Result<Server, Failure> {
    let config = &app.loaded.config;
    let clock = Clock::real();
    let binary = app.program(config.evaluator.binary.as_deref(), "plue-evaluator");
    let mut options = PlannerOptions::new(binary);
    options.allow_missing.clone_from(&config.evaluator.allow_missing);
    Ok(Server::new(Parts {
        options: Options {
            state_dir: config.state_dir.clone(),
            max_runs: args.max_runs.max(1),
            max_runs_per_repo: args.max_runs_per_repo.map(|most| most.max(1)),
            poll: POLL,
            keep: wiring::keep(app)?,
            public_url: args.public_url.clone(),
            share_files: store.is_shared() && config.objects.url.is_some(),
            reach: wiring::reach(app)?,
        },
        store: store.clone(),
        engine: wiring::serving_engine(app, store.clone(), tasks, serving)?,
        planner: Planner::new(options, Rate::default(), clock, tasks.clone()),
        keys: vault::make_keys(app).ok(),
        exporter: Exporter::new(archive::write::into_pipe),
        apps: AppTokens::default(),
        clock,
        ids: Ids::random(),
        tasks: tasks.clone(),
        stop: shutdown.stop(),
    }))
}

/// The roles of this process.
#[derive(Debug, Clone, Copy)]
struct Roles {
    answers: bool,
    drives: bool,
}

// === impl Roles ===

impl Roles {
    fn of(said: &[Role]) -> Result<Self, Failure> {
        let roles =
            Self { answers: said.contains(&Role::Api), drives: said.contains(&Role::Engine) };
        if said.contains(&Role::Pool) && !roles.drives {
            return Err(Failure::usage("--role pool: there are no pools of their own yet").hint(
                "runners are started beside the engine that drives their runs: --role engine",
            ));
        }
        Ok(roles)
    }
}

/// A lease that is neither endless nor over before a sign of life could come.
fn duration(text: &str) -> Result<Duration, Failure> {
    let refused = |why: String| Failure::usage(format!("--lease {text}: {why}"));
    let lease: jiff::SignedDuration =
        text.parse().map_err(|error: jiff::Error| refused(error.to_string()))?;
    let lease = Duration::try_from(lease).map_err(|error| refused(error.to_string()))?;
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

/// A server that nobody can talk to is no use.
async fn hint(store: &Store, app: &App) -> Result<(), Failure> {
    let tokens = store.tokens().await.map_err(|error| from_store(&error))?;
    if tokens.is_empty() && app.verbosity >= 0 {
        output::say("there are no tokens yet: plue token create --name me --role admin");
    }
    let repos = store.repos().await.map_err(|error| from_store(&error))?;
    if repos.is_empty() && app.verbosity >= 0 {
        output::say("no repository is watched yet: plue repo add OWNER/NAME PATH");
    }
    Ok(())
}

/// What asks a server to end.
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
async fn signals(mut heard: Signals, shutdown: &Shutdown) {
    for phase in [Phase::Draining, Phase::Aborting] {
        tokio::select! {
            _ = heard.int.recv() => {}
            _ = heard.term.recv() => {}
        }
        if phase == Phase::Draining {
            output::say("draining: nothing new starts; again to end now");
        }
        shutdown.advance(phase);
    }
}
