//! Exit statuses: of the evaluator, as the engine sees them, and of its children.
//!
//! A child can exit with any of these by itself, so none may be trusted for more than a message.

/// The engine closed the socket.
pub const DONE: i32 = 0;
/// The command line was not understood.
pub const USAGE: i32 = 64;
/// The engine sent something that is no request, or the stream broke in the middle of one.
pub const PROTOCOL: i32 = 65;
/// `CPython` could not be started, or is not the one this was built for.
pub const INTERPRETER: i32 = 70;
/// A system call that must work did not.
pub const SYSTEM: i32 = 71;
/// A layer of the jail is missing and not allowed to be.
pub const LAYER_MISSING: i32 = 77;

/// Child: an allocation failed.
pub const CHILD_MEMORY: i32 = 90;
/// Child: a tripwire was hit.
pub const CHILD_DENIED: i32 = 91;
/// Child: the request could not be read or decoded.
pub const CHILD_REQUEST: i32 = 92;
/// Child: a layer of the jail could not be put on.
pub const CHILD_JAIL: i32 = 93;
/// Child: Rust code panicked.
pub const CHILD_PANIC: i32 = 94;
/// Child: the reply could not be encoded or written.
pub const CHILD_REPLY: i32 = 95;
