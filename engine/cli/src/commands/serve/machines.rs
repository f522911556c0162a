//! Runners of other machines of a server: the connections of those that dial in, and pools of pods.

use std::sync::Arc;

use plue_executor::Engine;
use plue_pool::fleet::Fleet;
use plue_runtime::{Clock, Stop, TaskSet};
use plue_server::pods::Pods;
use plue_store::Store;

use crate::{failure::Failure, pods::PodPools};

/// The runners of a server that drives runs; of any other, none.
pub(super) struct Machines {
    fleet: Option<Fleet>,
    pods: Option<Pods>,
}

// === impl Machines ===

impl Machines {
    /// Those of an engine, with the pools of the configuration.
    ///
    /// # Errors
    /// A setting of a pool.
    pub(super) fn of(
        engine: &Engine,
        pools: Option<&Arc<PodPools>>,
        drives: bool,
        store: &Store,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let fleet = engine.fleet().filter(|_| drives).cloned();
        let pods = match (pools, &fleet) {
            (Some(pools), Some(fleet)) => Some(pools.managed(engine, fleet, store, clock)?),
            (None, _) | (_, None) => None,
        };
        Ok(Self { fleet, pods })
    }

    /// The connections of those that dial in.
    pub(super) fn fleet(&self) -> Option<Fleet> {
        self.fleet.clone()
    }

    /// Starts the loops that look after them.
    pub(super) fn spawn(self, parts: &mut TaskSet<&'static str, ()>, stop: &Stop) {
        let Self { fleet, pods } = self;
        if let Some(fleet) = fleet {
            let until = stop.clone();
            parts.spawn("watch runners", async move { fleet.watch(until).await });
        }
        if let Some(pods) = pods {
            parts.spawn("manage pools", pods.work(stop.clone()));
        }
    }
}
