//! The names of the layers, as operators write them.

/// One layer of the jail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LayerName {
    /// No capability can be regained.
    BoundingSet,
    /// The process is an unprivileged user.
    Uid,
    /// No program gains privileges.
    NoNewPrivs,
    /// Memory is not readable by other processes of the same user.
    Dumpable,
    /// No files, no TCP, no abstract sockets, no signals to outsiders.
    Landlock,
    /// Memory, descriptors, processes, file sizes, CPU seconds.
    Rlimits,
    /// System calls by list.
    Seccomp,
    /// One second of CPU.
    Timer,
    /// The time-stamp counter is disabled.
    Tsc,
    /// No descriptor but the report's.
    Descriptors,
    /// Audit hook of `CPython`.
    AuditHook,
    /// A failed allocation ends the child.
    Allocator,
}

impl LayerName {
    /// All layers, in the order in which they are put on.
    pub const ALL: [Self; 12] = [
        Self::BoundingSet,
        Self::Uid,
        Self::NoNewPrivs,
        Self::Dumpable,
        Self::Landlock,
        Self::Rlimits,
        Self::Seccomp,
        Self::Timer,
        Self::Tsc,
        Self::Descriptors,
        Self::AuditHook,
        Self::Allocator,
    ];

    /// The name on the command line, in the hello frame and in `plue doctor`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BoundingSet => "bounding_set",
            Self::Uid => "uid",
            Self::NoNewPrivs => "no_new_privs",
            Self::Dumpable => "dumpable",
            Self::Landlock => "landlock",
            Self::Rlimits => "rlimits",
            Self::Seccomp => "seccomp",
            Self::Timer => "timer",
            Self::Tsc => "tsc",
            Self::Descriptors => "descriptors",
            Self::AuditHook => "audit_hook",
            Self::Allocator => "allocator",
        }
    }

    /// The layer of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layer| layer.as_str() == name)
    }
}
