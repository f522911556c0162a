//! A place where tests stand between a store and its callers: they see every call, and may let it
//! fail before it is made or after it was committed. Without a probe it costs one comparison.

use std::{any::Any, fmt::Debug, future::Future, pin::Pin};

use crate::error::Error;

/// A call as a probe sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The name of the write, or `read`.
    pub name: &'static str,
    /// Whether it changes something.
    pub writes: bool,
}

/// Answer of a probe; the value lives until the call is over, however it ends.
pub type Verdict<'a> =
    Pin<Box<dyn Future<Output = Result<Box<dyn Any + Send>, Error>> + Send + 'a>>;

/// Sees the calls of a store.
pub trait Probe: Debug + Send + Sync {
    /// Before the call. An error keeps it from being made.
    fn before(&self, call: Call) -> Verdict<'_>;

    /// After it was made, and committed if it writes. An error hides that from the caller.
    fn after(&self, call: Call) -> Verdict<'_>;
}

// === impl Call ===

impl Call {
    pub(crate) const READ: Self = Self { name: "read", writes: false };

    /// A write by an operation of this type.
    pub(crate) fn of<O>() -> Self {
        let path = std::any::type_name::<O>();
        Self { name: path.rsplit("::").next().unwrap_or(path), writes: true }
    }
}

fn reset() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())
}

/// Error of a call whose connection broke before it was made, for probes that break it.
#[must_use]
pub fn connection_lost() -> Error {
    Error::from(reset())
}

/// The same after it was made: unknown whether it was committed.
#[must_use]
pub fn answer_lost() -> Error {
    Error::Lost(reset())
}
