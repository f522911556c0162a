//! Fresh ids: ULIDs, which sort by creation time. In tests a counter, so that runs are repeatable.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use plue_plan::{RunId, RunnerId};

/// A source of fresh ids and secrets.
#[derive(Debug, Clone)]
pub struct Ids(Option<Arc<AtomicU64>>);

// === impl Ids ===

impl Ids {
    /// Ids from the system's random numbers.
    #[must_use]
    pub fn random() -> Self {
        Self(None)
    }

    /// 1, 2, 3, … in the shape of ULIDs.
    #[must_use]
    pub fn counting() -> Self {
        Self(Some(Arc::default()))
    }

    /// A fresh run id.
    #[must_use]
    pub fn run(&self) -> RunId {
        RunId::new(self.text())
    }

    /// A fresh runner id.
    #[must_use]
    pub fn runner(&self) -> RunnerId {
        RunnerId::new(self.text())
    }

    /// A fresh id of another kind, 26 characters of Crockford's base 32.
    #[must_use]
    pub fn text(&self) -> String {
        let ulid = match &self.0 {
            None => ulid::Ulid::generate(),
            Some(counter) => {
                ulid::Ulid::from(u128::from(counter.fetch_add(1, Ordering::Relaxed) + 1))
            }
        };
        ulid.to_string().to_ascii_lowercase()
    }

    /// A random number, for values that must be unpredictable. Never a counter, not even in tests.
    #[must_use]
    pub fn number(&self) -> NonZeroU32 {
        let bytes = ulid::Ulid::generate().random().to_le_bytes();
        let number = bytes.first_chunk().copied().map_or(1, u32::from_le_bytes);
        NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
    }

    /// 160 random bits for credentials, as text. Never a counter, not even in tests.
    #[must_use]
    pub fn secret(&self) -> String {
        let (a, b) = (ulid::Ulid::generate(), ulid::Ulid::generate());
        format!("{:020x}{:020x}", a.random(), b.random())
    }
}
