//! Limits of concurrent streams: of one token, and of all.
//!
//! A place is given back on drop.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::StatusCode;

use crate::{limit::Holder, problem::Problem};

/// Seconds after which a client that found no place may ask again.
const AGAIN: u64 = 5;

/// The places. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    all: usize,
    of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by: HashMap<Holder, usize>,
}

/// One counted stream; its drop returns the permit.
#[derive(Debug)]
pub(crate) struct StreamPermit {
    places: Places,
    holder: Holder,
}

// === impl Places ===

impl Places {
    pub(crate) fn new(all: usize, of_one: usize) -> Self {
        Self(Arc::new(Shared { all, of_one, taken: Mutex::default() }))
    }

    /// Takes a place.
    ///
    /// # Errors
    /// There is none left: 503, or none for this token: 429.
    pub(crate) fn take(&self, holder: &Holder) -> Result<StreamPermit, Problem> {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = taken.by.get(holder).copied().unwrap_or(0);
        if of_one >= self.0.of_one {
            let detail = format!("a token may have {} streams open, and has", self.0.of_one);
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(AGAIN));
        }
        if taken.all >= self.0.all {
            let detail = "the server has as many streams open as it can";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(AGAIN));
        }
        taken.all += 1;
        taken.by.insert(holder.clone(), of_one + 1);
        Ok(StreamPermit { places: self.clone(), holder: holder.clone() })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut taken = self.places.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        match taken.by.get_mut(&self.holder) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(taken.by.remove(&self.holder)),
        }
    }
}
