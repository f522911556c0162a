//! What was kept of attempts: artifacts, caches, checkpoints, pure results, notes, test results.
//!
//! A runner's record counts only while its claim holds, and counts once. Must not know what is in a
//! blob, or who may read which scope: the caller decides that.

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
    record::{Kept, NewRecord, NoteRow},
    workspace::RunWorkspace,
};
