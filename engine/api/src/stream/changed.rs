//! The time of the last change of any run, as a number that lists of runs follow.
//!
//! It grows across restarts, so that a list that was rendered before one is rendered again after it.

use std::sync::{Mutex, PoisonError};

use futures::{FutureExt as _, future::BoxFuture};
use plue_runtime::Clock;
use plue_store::{Error, Store};
use serde_json::json;
use tokio::sync::watch;

use super::{Follow, Frame, Source, Stand};
use crate::server::Api;

/// The last change, seen when it is asked for.
#[derive(Debug)]
pub(crate) struct Changed {
    changes: watch::Receiver<u64>,
    clock: Clock,
    /// Count of wake-ups, and the time that it was first seen at.
    last: Mutex<(u64, u64)>,
}

/// Changes of all runs, followed as one source.
struct AnyRun(Api);

// === impl Changed ===

impl Changed {
    pub(crate) fn new(store: &Store, clock: Clock) -> Self {
        let changes = store.changes();
        let last = Mutex::new((*changes.borrow(), micros(clock)));
        Self { changes, clock, last }
    }

    /// Microseconds since 1970 of the last change.
    pub(crate) fn at(&self) -> u64 {
        let count = *self.changes.borrow();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0 != count {
            *last = (count, micros(self.clock).max(last.1 + 1));
        }
        last.1
    }
}

fn micros(clock: Clock) -> u64 {
    u64::try_from(clock.now().as_microsecond()).unwrap_or(0)
}

/// Changes of any run behind a number.
pub(crate) fn follow(api: &Api, cursor: u64) -> Follow {
    Follow {
        name: "runs".to_owned(),
        changes: api.store().changes(),
        cursor,
        source: std::sync::Arc::new(AnyRun(api.clone())),
    }
}

impl Source for AnyRun {
    fn stand(&self) -> BoxFuture<'_, Result<Option<Stand>, Error>> {
        async { Ok(Some(Stand { reach: self.0.changed().at(), ended: false })) }.boxed()
    }

    fn behind(&self, seq: u64) -> BoxFuture<'_, Result<Vec<Frame>, Error>> {
        async move {
            let at = self.0.changed().at();
            Ok(if at > seq { vec![Frame::new("changed", at, &json!({}))] } else { Vec::new() })
        }
        .boxed()
    }
}
