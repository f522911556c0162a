//! The server's parts and its tasks.

use std::{path::PathBuf, sync::Arc, time::Duration};

use plue_executor::{
    Engine,
    disk::LowWater,
    reach::Guard,
    retention::{Retention, collect_garbage},
};
use plue_flow::quotas::Quotas;
use plue_planner::Planner;
use plue_runtime::{Clock, Ids, Phase, Stop, TaskSet, Tasks, Watchdog, clock::Mark};
use plue_store::{Store, secret::Keyring};

use crate::{
    app::AppTokens, export::Exporter, forge_writer::Writer, known::Known,
    permission::TriggerPolicy, places::DiskState, webhooks::Sender,
};

/// Between two looks for what dead engines left behind.
const TIDY_EVERY: Duration = Duration::from_secs(5);
/// Between the panic of a loop and its next start.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Between two looks for what is too old.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);

/// Bounds that the operator sets.
#[derive(Debug, Clone)]
pub struct Options {
    /// Mirrors and workspaces are below it.
    pub state_dir: PathBuf,
    /// Limits on the runs that are driven at the same time.
    pub quotas: Quotas,
    /// From which disk on runs of forks wait.
    pub low_water: LowWater,
    /// Without a wake-up the store is looked at this often.
    pub poll: Duration,
    /// What is kept for how long.
    pub keep: Retention,
    /// Address of this server for people, as forges link to it; none: they get no links.
    pub public_url: Option<String>,
    /// Whether the files that runs begin with go to the shelf, for engines of other machines.
    pub share_files: bool,
    /// Addresses beside public ones that webhooks, submodules and LFS servers may have.
    pub reach: Guard,
    /// Policy on events that start runs.
    pub triggers: TriggerPolicy,
}

/// What a server is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Bounds.
    pub options: Options,
    /// The database.
    pub store: Store,
    /// Advances runs.
    pub engine: Engine,
    /// Makes plans.
    pub planner: Planner,
    /// Opens secrets; none: there are no secrets, and no webhook is believed.
    pub keys: Option<Keyring>,
    /// Writes runs into files.
    pub exporter: Exporter,
    /// What GitHub has given for Apps.
    pub apps: AppTokens,
    /// Time.
    pub clock: Clock,
    /// Fresh ids.
    pub ids: Ids,
    /// Tasks.
    pub tasks: Tasks,
    /// Notices loops that stand still.
    pub watchdog: Watchdog,
    /// When to take nothing new.
    pub stop: Stop,
}

/// A loop of the server: a task of its own, so that no loop waits for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Loop {
    Intake,
    Schedules,
    Runs,
    House,
    Places,
    Forges,
    Webhooks,
}

/// A server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Server(Arc<Inner>);

/// The parts of a server and what it holds in memory.
#[derive(Debug)]
pub(crate) struct Inner {
    parts: Parts,
    known: Known,
    disk: DiskState,
}

// === impl Server ===

impl Server {
    /// A server that does nothing yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let inner = Inner { parts, known: Known::default(), disk: DiskState::default() };
        let server = Self(Arc::new(inner));
        let writer = Writer(Arc::downgrade(&server.0));
        server.0.parts.engine.write_to_forges(Arc::new(writer));
        server
    }

    /// The server of these parts.
    pub(crate) fn of(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.0.parts
    }

    pub(crate) fn known(&self) -> &Known {
        &self.0.known
    }

    pub(crate) fn disk(&self) -> &DiskState {
        &self.0.disk
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.parts.store
    }

    /// Ends now and then what engines that died on this machine left behind, and deletes what is older
    /// than the operator keeps.
    async fn keep_house(&self) {
        let clock = self.0.parts.clock;
        let beat = self.0.parts.watchdog.watch("keep house");
        let mut swept: Option<Mark> = None;
        loop {
            beat.idle();
            tokio::select! {
                () = self.0.parts.stop.reached(Phase::Draining) => return,
                () = clock.sleep(TIDY_EVERY) => {}
            }
            // As long as there are files to delete.
            beat.outside("delete what is left behind");
            self.tidy().await;
            if swept.is_none_or(|mark| clock.elapsed(mark) >= SWEEP_EVERY) {
                collect_garbage(self.store(), &self.0.parts.options.keep, clock.now()).await;
                if let Err(error) = self.drop_workspaces().await {
                    tracing::warn!(%error, "old workspaces stay for now");
                }
                if let Err(error) = self.drop_contents().await {
                    tracing::warn!(%error, "failed to remove old submodules and LFS contents");
                }
                swept = Some(clock.mark());
            }
        }
    }

    async fn tidy(&self) {
        if let Err(error) = self.0.parts.engine.tidy().await {
            tracing::warn!(%error, "what dead engines left behind stays for now");
        }
    }

    /// What sends webhooks.
    fn sender(&self) -> Sender {
        let parts = self.parts();
        Sender {
            store: parts.store.clone(),
            keys: parts.keys.clone(),
            guard: parts.options.reach.clone(),
            clock: parts.clock,
            ids: parts.ids.clone(),
            tasks: parts.tasks.clone(),
            watchdog: parts.watchdog.clone(),
            public_url: parts.options.public_url.clone(),
        }
    }

    /// Leaves all that to other processes, until it is told to stop: for one that only answers.
    pub async fn attend(&self) {
        self.parts().stop.reached(Phase::Draining).await;
        self.parts().engine.close().await;
    }

    /// Takes in deliveries, follows schedules, drives runs, tells forges and webhooks until it is told to
    /// stop; then waits for the runs that are driven, and ends the runners that were kept for more.
    pub async fn work(&self) {
        let parts = self.parts();
        let mut loops = TaskSet::new(&parts.tasks, "server loop");
        for one in Loop::ALL {
            loops.spawn(one, self.clone().run(one));
        }
        while let Some((one, result)) = loops.next().await {
            if let Err(failure) = result {
                tracing::error!(name = ?one, %failure, again_in = ?AGAIN_AFTER, "a server loop failed");
                let (server, clock) = (self.clone(), parts.clock);
                loops.spawn(one, async move {
                    clock.sleep(AGAIN_AFTER).await;
                    server.run(one).await;
                });
            }
        }
        self.tidy().await;
        self.0.parts.engine.close().await;
    }
    async fn run(self, one: Loop) {
        match one {
            Loop::Intake => self.take_in().await,
            Loop::Schedules => self.follow_schedules().await,
            Loop::Runs => self.drive_runs().await,
            Loop::House => self.keep_house().await,
            Loop::Places => self.watch_places().await,
            Loop::Forges => self.tell_forges().await,
            Loop::Webhooks => self.sender().run(&self.parts().stop).await,
        }
    }
}

// === impl Loop ===

impl Loop {
    const ALL: [Self; 7] = [
        Self::Intake,
        Self::Schedules,
        Self::Runs,
        Self::House,
        Self::Places,
        Self::Forges,
        Self::Webhooks,
    ];
}
