//! Bare mirrors of repositories, through the git command line.
//!
//! The engine reads commits only from here: so a run's input does not depend on a payload, and a
//! runner needs neither credentials nor a route to the forge. The contents of a mirror are
//! untrusted: none of its hooks, monitors, filters or replacements is obeyed, nothing is checked
//! out, and only the transport that the remote needs is allowed. Must not put a credential into an
//! argument, a file or a log.

mod archive;
mod changes;
mod checkout;
mod command;
mod commit_id;
mod error;
mod files;
pub mod lfs;
mod mirror;
mod proposal;
mod remote;
mod submodules;

pub use archive::Archive;
pub use changes::{ChangedFiles, Since};
pub use checkout::{Checkout, History};
pub use commit_id::CommitId;
pub use error::GitError;
pub use files::{Entry, EntryKind, FileContent};
pub use mirror::{FetchRequest, Mirror};
pub use proposal::{ChangedFile, Proposals};
pub use remote::{Credential, Remote};
pub use submodules::{Address, RepositoryPath, Submodule};
