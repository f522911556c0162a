//! Stored outputs of attempts: artifacts, caches, checkpoints, pure results, notes, test results.
//!
//! A runner's record counts only while its claim holds, and counts once. Must not know what is in a
//! blob, or the readers of a scope: the caller passes them.

mod artifact;
mod cache;
mod checkpoint;
mod pure;
mod record;
pub mod test_report;
mod workspace;

pub use self::{
    artifact::ArtifactRow,
    cache::{CacheFound, CacheRow},
    checkpoint::{CheckpointKind, CheckpointRow},
    pure::PureFound,
    record::{NewRecord, NoteRow, Recorded},
    workspace::RunWorkspace,
};
