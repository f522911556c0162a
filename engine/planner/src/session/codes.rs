//! Codes of requests that have no plan, shared with the command line; each has a page in
//! `docs/errors/`.

use plue_plan::Code;

/// The command line does not fit.
pub const USAGE: Code = Code::new("PLUE-C0001");
/// A file, workflow or run that was named does not exist.
pub const NOT_FOUND: Code = Code::new("PLUE-C0002");
/// The machine, the database or a process failed.
pub const INFRASTRUCTURE: Code = Code::new("PLUE-C0003");
/// A file that was named cannot be read.
pub const UNREADABLE: Code = Code::new("PLUE-C0005");
/// A file that was given as an event is none.
pub const EVENT: Code = Code::new("PLUE-C0007");
/// A step has a role without a file.
pub const ROLE: Code = Code::new("PLUE-C0008");
