//! The composition of the server: intake, notifier and host over shared services.

use std::{path::PathBuf, sync::Arc, time::Duration};

use plue_api::commands::SharedCommands;
use plue_executor::{Engine, disk::LowWater, reach::Guard, retention::Retention};
use plue_flow::quotas::Quotas;
use plue_planner::Planner;
use plue_runtime::{Clock, Ids, Phase, Stop, Tasks, Watchdog};
use plue_store::{Store, secret::Keyring};

use crate::{
    app::AppTokens,
    commands::{ApiCommands, CommandParts},
    error::Error,
    export::Exporter,
    host::{Host, HostOptions},
    intake::{Intake, IntakeOptions, receive::Inbound},
    notifier::{ForgeChanges, Notifier, NotifierOptions},
    permission::TriggerPolicy,
    process::Process,
    server_runs::ServerRuns,
    services::Services,
};

/// Limits and settings of the operator.
#[derive(Debug, Clone)]
pub struct Options {
    /// Parent folder of mirrors and workspaces.
    pub state_dir: PathBuf,
    /// Limits on the runs that are driven at the same time.
    pub quotas: Quotas,
    /// Free disk space below which runs of forks wait.
    pub low_water: LowWater,
    /// Longest time between two looks into the store.
    pub poll: Duration,
    /// Retention of runs, logs, artifacts and caches.
    pub keep: Retention,
    /// Address of this server for people; `None`: forges get no links.
    pub public_url: Option<String>,
    /// Whether the archive of a run's files goes to the blob store, for engines of other machines.
    pub share_files: bool,
    /// Non-public addresses that webhooks, submodules and LFS servers may have.
    pub reach: Guard,
    /// Policy on events that start runs.
    pub triggers: TriggerPolicy,
}

/// The dependencies of a server.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Limits and settings of the operator.
    pub options: Options,
    /// The database of runs and deliveries.
    pub store: Store,
    /// Advances runs, and restores them after a crash.
    pub engine: Engine,
    /// Turns workflow files into plans.
    pub planner: Planner,
    /// Opens secrets; `None`: there are no secrets, and every delivery is refused.
    pub keys: Option<Keyring>,
    /// Writes runs into files.
    pub exporter: Exporter,
    /// Tokens that GitHub has issued to Apps.
    pub apps: AppTokens,
    /// The clock, paused in tests.
    pub clock: Clock,
    /// Source of random ids.
    pub ids: Ids,
    /// Tracker of all tasks.
    pub tasks: Tasks,
    /// Reports loops that stand still.
    pub watchdog: Watchdog,
    /// Ends the intake of new work.
    pub stop: Stop,
}

/// A server: intake, notifier and host over shared services. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Server(Arc<Owners>);

#[derive(Debug)]
struct Owners {
    engine: Engine,
    stop: Stop,
    inbound: Inbound,
    intake: Intake,
    notifier: Notifier,
    host: Host,
    commands: SharedCommands,
}

// === impl Server ===

impl Server {
    /// Composes the owners; nothing runs before [`Self::work`].
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let services = Services::new(&parts);
        let Parts { options, engine, keys, exporter, stop, .. } = parts;
        engine.write_to_forges(Arc::new(ForgeChanges::new(&services)));
        let Options { quotas, low_water, keep, public_url, reach, triggers, .. } = options;
        let notifying = NotifierOptions { public_url, keys: keys.clone(), reach: reach.clone() };
        let Process { clock, ids, tasks, .. } = services.process.clone();
        let store = services.store.clone();
        let parts = CommandParts { store, keys, reach, exporter, clock, ids, tasks };
        let commands = ApiCommands::new(parts, Arc::new(ServerRuns::new(&services)));
        Self(Arc::new(Owners {
            inbound: Inbound::new(&services),
            intake: Intake::new(IntakeOptions { triggers }, &services),
            notifier: Notifier::new(notifying, &services),
            host: Host::new(HostOptions { quotas, low_water, keep }, &services),
            commands: Arc::new(commands),
            engine,
            stop,
        }))
    }

    /// The implementation of the API's commands.
    #[must_use]
    pub fn commands(&self) -> SharedCommands {
        Arc::clone(&self.0.commands)
    }

    pub(crate) fn inbound(&self) -> Inbound {
        self.0.inbound.clone()
    }

    /// Serves no background work, for a process with the role `api` alone; returns once the server stops.
    pub async fn idle(&self) {
        self.0.stop.reached(Phase::Draining).await;
        self.0.engine.close().await;
    }

    /// Runs the owners until the server stops; waits for the runs that are driven, and then ends the
    /// idle runners.
    pub async fn work(&self) {
        let Owners { engine, intake, notifier, host, .. } = &*self.0;
        futures::join!(intake.run(), notifier.run(), host.run());
        host.remove_leftovers().await;
        engine.close().await;
    }

    /// Works on one delivery of each queue that has one; returns the number of settled deliveries.
    ///
    /// # Errors
    /// The database.
    pub async fn take_in_once(&self) -> Result<usize, Error> {
        self.0.intake.run_once().await
    }
}
