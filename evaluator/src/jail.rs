//! The jail: restrictions by the kernel and `CPython`, independent of the language layer.
//!
//! Two stages. [`Jail::harden`] locks the zygote for good before it serves; [`Jail::lock`] locks
//! each child after it has read its request and before it parses any of the file's code. The kernel
//! is the boundary; the language layer is there for good messages. Must not fail open: a missing
//! layer ends the evaluator unless the operator allowed exactly that one by name.

pub mod allocator;
pub mod audit;
mod clock;
mod descriptors;
mod landlock;
mod layer;
mod limits;
mod privileges;
mod probe;
pub mod seccomp;
pub mod syscalls;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use plue_wire::eval::{Layer, LayerState};

pub use layer::LayerName;

use crate::kernel;
use crate::options::Options;
use syscalls::REPORT_DESCRIPTOR;

static IN_CHILD: AtomicBool = AtomicBool::new(false);

/// True in a forked child.
#[must_use]
pub fn in_child() -> bool {
    IN_CHILD.load(Ordering::Relaxed)
}

/// To be called first thing after a fork, in the child.
pub fn enter_child() {
    IN_CHILD.store(true, Ordering::Relaxed);
}

/// A jail that cannot be built at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filters do not compile.
    #[error(transparent)]
    Seccomp(#[from] seccomp::Error),
    /// A file that every Linux has cannot be opened.
    #[error("{path} cannot be opened")]
    Open {
        /// Path of the file.
        path: &'static str,
        /// Cause of the error.
        #[source]
        source: io::Error,
    },
    /// A second thread runs; a fork would copy its locks.
    #[error("the process has {0} threads instead of one")]
    Threads(usize),
}

/// Resources of the jail from before the file system is locked away.
#[derive(Debug)]
pub struct Jail {
    null: OwnedFd,
    statm: File,
    filters: seccomp::Filters,
    time: clock::Pages,
    allowed: Vec<LayerName>,
    dropped: Vec<LayerName>,
}

impl Jail {
    /// Opens and compiles what is needed; locks nothing yet.
    ///
    /// # Errors
    /// [`Error`]
    pub fn prepare(options: &Options) -> Result<Self, Error> {
        let open = |path: &'static str, write: bool| {
            let file = File::options().read(true).write(write).open(path);
            file.map_err(|source| Error::Open { path, source })
        };
        let threads = std::fs::read_dir("/proc/self/task")
            .map_err(|source| Error::Open { path: "/proc/self/task", source })?
            .count();
        if threads != 1 {
            return Err(Error::Threads(threads));
        }
        Ok(Self {
            null: open("/dev/null", true)?.into(),
            statm: open("/proc/self/statm", false)?,
            filters: seccomp::Filters::compile()?,
            time: clock::Pages::find(),
            allowed: options.allow_missing.clone(),
            dropped: options.drop.clone(),
        })
    }

    /// Stage 1: locks this process for good and tries every layer in forked children.
    #[must_use]
    pub fn harden(&self) -> Vec<Layer> {
        use LayerName::{
            Allocator, AuditHook, BoundingSet, Descriptors, Dumpable, Landlock, NoNewPrivs,
            Rlimits, Seccomp, Timer, Tsc, Uid,
        };
        privileges::first_to_be_killed();
        let bounding_set = self.apply(BoundingSet, privileges::empty_bounding_set);
        let uid = self.apply_saying(Uid, privileges::leave_root);
        let no_new_privs = self.apply(NoNewPrivs, privileges::no_new_privs);
        let dumpable = self.apply(Dumpable, privileges::undumpable);
        let landlock = self.apply_saying(Landlock, || {
            let set_no_new_privs = !self.is_dropped(NoNewPrivs);
            landlock::restrict(set_no_new_privs).map_err(io::Error::other)
        });
        let limits = self.apply(Rlimits, limits::harden_zygote);
        let refusals = probe::start_refusing(self);
        let seccomp =
            self.apply(Seccomp, || self.filters.harden_zygote().map_err(io::Error::other));
        let attempts = probe::ENDING.map(|layer| self.start_attempts(layer));
        // Children put these on; here they are only tried.
        let by_child = || Ok(String::new());
        let applied = [bounding_set, uid, no_new_privs, dumpable, landlock, by_child(), limits];
        let mut states = Vec::new();
        let refused = probe::REFUSING.into_iter().zip(applied).zip(refusals.verdicts());
        for ((layer, applied), tried) in refused {
            states.push(self.state(layer, applied, tried));
        }
        let mut seccomp = Some(seccomp);
        for (layer, attempts) in probe::ENDING.into_iter().zip(attempts) {
            let applied = match layer {
                Seccomp => seccomp.take().unwrap_or_else(by_child),
                BoundingSet | Uid | NoNewPrivs | Dumpable | Landlock | Rlimits | Descriptors
                | Timer | Tsc | AuditHook | Allocator => by_child(),
            };
            let verdicts = attempts.into_iter().map(probe::Attempt::verdict);
            // Every attempt is waited for, also behind one that failed.
            let verdicts: Vec<_> = verdicts.collect();
            let tried = verdicts.into_iter().collect::<Result<Vec<_>, _>>();
            let tried = tried.map(|how| how.last().copied().unwrap_or_default());
            states.push(self.state(layer, applied, tried));
        }
        states
    }

    fn start_attempts(&self, layer: LayerName) -> Vec<probe::Attempt> {
        if self.is_dropped(layer) { Vec::new() } else { probe::start_ending(self, layer) }
    }

    /// Stage 2, in a child: from here on it can compute and write its report, nothing else.
    ///
    /// # Errors
    /// The layer that could not be put on and was not allowed to be missing.
    pub fn lock(&self, report: BorrowedFd<'_>, mapped: u64) -> Result<(), LayerName> {
        if self.is_dropped(LayerName::Descriptors) {
            // Even then the report must be where the language layer's caller writes it.
            let moved = kernel::copy_descriptor(report.as_raw_fd(), REPORT_DESCRIPTOR);
            moved.map_err(|_| LayerName::Descriptors)?;
        }
        self.put_on(LayerName::Descriptors, || descriptors::reduce(self.null.as_fd(), report))?;
        self.put_on(LayerName::Rlimits, || limits::lock_child(mapped))?;
        self.put_on(LayerName::Timer, limits::arm_timer)?;
        self.put_on(LayerName::Tsc, || clock::forbid(&self.time))?;
        self.put_on(LayerName::Seccomp, || self.filters.lock_child().map_err(io::Error::other))?;
        self.put_on(LayerName::Allocator, || {
            allocator::arm();
            Ok(())
        })?;
        self.put_on(LayerName::AuditHook, || {
            audit::arm();
            Ok(())
        })
    }

    /// Bytes of address space that this process has mapped now.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn mapped(&self) -> io::Result<u64> {
        let mut text = [0; 64];
        let length = self.statm.read_at(&mut text, 0)?;
        let digits = text.get(..length).unwrap_or_default();
        let pages = std::str::from_utf8(digits).ok().and_then(|text| text.split(' ').next());
        let pages: Option<u64> = pages.and_then(|pages| pages.parse().ok());
        let size = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        pages
            .and_then(|pages| pages.checked_mul(size))
            .ok_or_else(|| io::Error::other("/proc/self/statm is not understood"))
    }

    /// True if a test switched this layer off.
    #[must_use]
    pub fn is_dropped(&self, layer: LayerName) -> bool {
        self.dropped.contains(&layer)
    }

    fn put_on(
        &self,
        layer: LayerName,
        apply: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), LayerName> {
        let excused = self.allowed.contains(&layer) || self.is_dropped(layer);
        match self.apply(layer, apply) {
            Ok(_) => Ok(()),
            Err(_) if excused => Ok(()),
            Err(_) => Err(layer),
        }
    }

    fn apply(
        &self,
        layer: LayerName,
        apply: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<String> {
        self.apply_saying(layer, || apply().map(|()| String::new()))
    }

    fn apply_saying(
        &self,
        layer: LayerName,
        apply: impl FnOnce() -> io::Result<String>,
    ) -> io::Result<String> {
        if self.is_dropped(layer) {
            return Err(io::Error::other("dropped for a test"));
        }
        apply()
    }

    fn state(
        &self,
        layer: LayerName,
        applied: io::Result<String>,
        tried: Result<&'static str, String>,
    ) -> Layer {
        let dropped = || Err("dropped for a test".to_owned());
        let tried = if self.is_dropped(layer) { dropped() } else { tried };
        let state = match (applied, tried) {
            (Ok(detail), Ok(how)) if detail.is_empty() => LayerState::On(how.to_owned()),
            (Ok(detail), Ok(how)) => LayerState::On(format!("{detail}; {how}")),
            (Err(error), _) => self.missing(layer, crate::with_sources(&error)),
            (Ok(_), Err(reason)) => self.missing(layer, reason),
        };
        Layer { name: layer.as_str().to_owned(), state }
    }

    fn missing(&self, layer: LayerName, reason: String) -> LayerState {
        if self.allowed.contains(&layer) || self.is_dropped(layer) {
            LayerState::Allowed(reason)
        } else {
            LayerState::Missing(reason)
        }
    }
}
