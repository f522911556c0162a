//! The connection of a command to the API: over HTTP to a server, or in this process to the API on the
//! database of this machine. Commands are written once, against [`Connection::client`].
//!
//! Must not start a task or open a socket for a command of this machine before it follows something.

use std::{path::PathBuf, sync::Arc, time::Duration};

use plue_api::{Api, Limits, local::Local, records::RunRecord, server};
use plue_client::{Client, RunReference, ServerAddress};
use plue_executor::{
    Engine,
    perform::environment::{GivenSecrets, SecretSource},
    reach::Guard,
    run_lock::is_driven,
};
use plue_plan::RunId;
use plue_planner::session::{origin_here, repository_root};
use plue_runtime::{Clock, Ids, Stop, Tasks, Watchdog};
use plue_server::{
    commands::{ApiCommands, CommandParts},
    export::Exporter,
};
use plue_store::{Store, secret::Keyring};

use crate::{
    app::App,
    config::Hidden,
    failure::{Failure, Outcome},
    local_runs::LocalRuns,
    output, person,
    vault::{self, Layered},
    wiring,
};

/// Longest time between two looks at something that is followed: other processes may write to the database.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// Time limit of a request of this process: the person at the terminal decides.
const ANSWER_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Use of this machine by a command without a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A database that exists.
    Read,
    /// A database, created if there is none.
    Write,
    /// A database and the master key, each created if there is none.
    Seal,
    /// A database that exists, and an engine that drives runs.
    Drive,
}

/// The API that a command calls, and this machine if it is the one of the API.
#[derive(Debug)]
pub struct Connection {
    /// Calls of the API.
    pub client: Client,
    machine: Option<Machine>,
}

/// This machine, whose database the API is on.
#[derive(Debug)]
pub struct Machine {
    /// Database that the API and the engine share.
    pub store: Store,
    engine: Option<Engine>,
    locks: PathBuf,
}

/// Connects a command and runs it to its end.
///
/// # Errors
/// The connection, or the command.
pub fn connected(
    app: &App,
    purpose: Purpose,
    command: impl AsyncFnOnce(&Connection) -> Outcome,
) -> Outcome {
    wiring::block_on(async {
        let connection = Connection::open(app, purpose).await?;
        command(&connection).await
    })
}

// === impl Connection ===

impl Connection {
    /// Connects to the server of the configuration, or to this machine.
    ///
    /// # Errors
    /// The address; the database; the master key.
    pub async fn open(app: &App, purpose: Purpose) -> Result<Self, Failure> {
        let config = &app.loaded.config;
        if let Some(server) = &config.server {
            return Ok(Self { client: remote(server, config.token.as_ref())?, machine: None });
        }
        let keys = match purpose {
            Purpose::Seal => Some(vault::make_keys(app)?),
            Purpose::Read | Purpose::Write | Purpose::Drive => None,
        };
        let store = match purpose {
            Purpose::Read | Purpose::Drive => wiring::open_existing(app).await?,
            Purpose::Write | Purpose::Seal => wiring::open_store(app).await?,
        };
        let tasks = Tasks::new();
        let engine = match purpose {
            Purpose::Drive => Some(wiring::engine(app, store.clone(), &tasks)?),
            Purpose::Read | Purpose::Write | Purpose::Seal => None,
        };
        let machine = Machine { store, engine, locks: config.state_dir.join("locks") };
        let runs = local_runs(app, machine.store.clone(), machine.engine.clone());
        let api = api(app, ApiOptions { runs, keys, tasks, stop: Stop::never() })?;
        let client = Client::local(Local::new(api, person::principal()));
        Ok(Self { client, machine: Some(machine) })
    }

    /// This machine; `None`: the API is a server's.
    #[must_use]
    pub fn machine(&self) -> Option<&Machine> {
        self.machine.as_ref()
    }

    /// The run that a text names: its id, the beginning of its id, or `last`.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub async fn run(&self, text: &str) -> Result<RunRecord, Failure> {
        let is_last = text == "last";
        let (repository, folder) = match &self.machine {
            _ if !is_last => (None, None),
            Some(_) => (None, folder_here()),
            None => (origin_here(), None),
        };
        let reference = RunReference { text: text.to_owned(), repository, folder };
        Ok(self.client.runs().find(&reference).await?)
    }

    /// Prepares to follow something that another process may change.
    pub fn follow(&self) {
        if let Some(machine) = &self.machine {
            machine.store.watch_others();
        }
    }

    /// Secrets for a run, from the options of the command and from this machine; a server has its own.
    ///
    /// # Errors
    /// A server is asked to take secrets of this command; a secret cannot be read.
    pub async fn secrets(
        &self,
        app: &App,
        run: &str,
        names: &[String],
    ) -> Result<Layered, Failure> {
        let Some(machine) = &self.machine else {
            return match names.is_empty() {
                true => Ok(Layered::default()),
                false => Err(Failure::usage("--secret is for runs of this machine")
                    .hint("store it on the server: plue secret set NAME --repo OWNER/NAME")),
            };
        };
        machine.secrets(app, run, names).await
    }
}

// === impl Machine ===

impl Machine {
    /// The engine, for commands that connect with [`Purpose::Drive`].
    ///
    /// # Errors
    /// The command connected without one, which is a defect.
    pub fn engine(&self) -> Result<&Engine, Failure> {
        self.engine.as_ref().ok_or_else(|| Failure::usage("this command drives no runs"))
    }

    /// True if a process of this machine advances the run, or may: engines of other machines share the
    /// database.
    #[must_use]
    pub fn is_driven(&self, run: &str) -> bool {
        self.store.is_shared() || is_driven(&self.locks, &RunId::new(run))
    }

    async fn secrets(&self, app: &App, run: &str, names: &[String]) -> Result<Layered, Failure> {
        let engine = self.engine()?;
        crate::commands::run::of_run(app, engine, &RunId::new(run), names).await
    }

    /// Secrets of a run with the texts that it was given before, which are masked too.
    ///
    /// # Errors
    /// As [`vault::remembered`].
    pub async fn remembered(
        &self,
        app: &App,
        run: &str,
        given: GivenSecrets,
    ) -> Result<Arc<dyn SecretSource>, Failure> {
        vault::remembered(app, &self.store, &RunId::new(run), given).await
    }
}

/// The folder of the repository around the current directory.
pub fn folder_here() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let root = repository_root(&here);
    Some(root.canonicalize().unwrap_or(root))
}

fn remote(server: &str, token: Option<&Hidden>) -> Result<Client, Failure> {
    let address = ServerAddress::parse(server)?;
    if address.is_readable() && token.is_some() {
        output::report(&format!("{server}: others on the way can read the token; use https"));
    }
    Ok(Client::remote(&address, token.map(Hidden::reveal))?)
}

/// Parts of an API in this process.
pub struct ApiOptions {
    /// Commands about runs, and the database.
    pub runs: LocalRuns,
    /// Master key, for commands that seal something.
    pub keys: Option<Keyring>,
    /// Tracker of the tasks that streams start.
    pub tasks: Tasks,
    /// Ends streams, and reports that the API takes nothing new.
    pub stop: Stop,
}

/// Commands about runs of this machine. Without an engine they start and continue nothing.
#[must_use]
pub fn local_runs(app: &App, store: Store, engine: Option<Engine>) -> LocalRuns {
    LocalRuns { store, engine, aside: app.loaded.config.state_dir.join("aside") }
}

/// The API on the database of this machine.
///
/// # Errors
/// An entry of `calls.allow` is wrong.
pub fn api(app: &App, options: ApiOptions) -> Result<Api, Failure> {
    let ApiOptions { runs, keys, tasks, stop } = options;
    let (clock, store) = (Clock::real(), runs.store.clone());
    // Only webhooks need it, which have secrets.
    let reach = keys.as_ref().map_or_else(|| Ok(Guard::default()), |_| wiring::reach(app))?;
    let parts = CommandParts {
        store: store.clone(),
        keys,
        reach,
        exporter: Exporter::new(plue_archive::export::write::into_pipe),
        clock,
        ids: Ids::random(),
        tasks: tasks.clone(),
    };
    Ok(Api::new(server::Parts {
        store,
        commands: Arc::new(ApiCommands::new(parts, Arc::new(runs))),
        clock,
        ids: Ids::random(),
        limits: Limits { answer_within: ANSWER_WITHIN, heartbeat: HEARTBEAT, ..Limits::default() },
        tasks,
        watchdog: Watchdog::new(clock),
        drain: stop.clone(),
        stop,
        metrics: String::new,
        login: None,
    }))
}
