//! When Python steps are forked from the warm interpreter, and what happens when it fails.

use std::{ffi::OsString, io};

use plue_wire::runner::{Exit, Program};

use super::Runner;
use crate::{
    attempt::launch::{Place, Process, find},
    link::Dial,
    python::{
        self, pyenv,
        warm::{Failed, Warm},
    },
    system::Reaped,
    workspace::AttemptFiles,
};

/// The warm interpreter of this runner.
#[derive(Debug)]
pub(super) enum Interpreter {
    /// Started with the first Python step, or early.
    Cold,
    /// Started.
    Warm(Warm),
    /// Not wanted, not there, or it failed once.
    Off,
}

// === impl Interpreter ===

impl Interpreter {
    pub(super) fn new(is_wanted: bool) -> Self {
        if is_wanted { Self::Cold } else { Self::Off }
    }

    /// The next forked process that has ended; for ever without a warm interpreter. Cancel-safe.
    pub(super) async fn next(&mut self) -> io::Result<Reaped> {
        match self {
            Self::Warm(warm) => warm.next().await,
            Self::Cold | Self::Off => std::future::pending().await,
        }
    }
}

impl<D: Dial + Clone + 'static> Runner<D> {
    /// Forks a Python step; `None` when it must be started the plain way.
    ///
    /// # Errors
    /// It may run or not: it must not be started again under this claim.
    pub(super) fn fork(
        &mut self,
        program: &Program,
        place: &Place,
        files: &mut AttemptFiles,
    ) -> Result<Option<Process>, Exit> {
        let is_python = match program {
            Program::Shell { .. }
            | Program::Beside { .. }
            | Program::Agent
            | Program::McpAgent { .. } => false,
            Program::PythonCode { .. } | Program::PythonScript { .. } => true,
        };
        if !is_python || !python::fits(&place.environment, &self.workspace.inherited) {
            return Ok(None);
        }
        if matches!(self.interpreter, Interpreter::Cold) {
            self.warm_up();
        }
        let Interpreter::Warm(warm) = &mut self.interpreter else {
            return Ok(None);
        };
        match warm.fork(program, place, &files.returned()) {
            Ok(process) => Ok(process),
            Err(Failed::Before) => {
                self.cool_down();
                Ok(None)
            }
            Err(Failed::After(error)) => {
                self.cool_down();
                Err(Exit::Infra(format!("the interpreter that had the step broke: {error}")))
            }
        }
    }

    /// Starts the interpreter before it is needed, if it is likely to be. Does not wait for it.
    pub(super) fn warm_early(&mut self) {
        if self.options.early_python && matches!(self.interpreter, Interpreter::Cold) {
            self.warm_up();
        }
    }

    fn warm_up(&mut self) {
        let mark = self.workspace.folder().join("interpreter");
        let mut environment = self.workspace.inherited.clone();
        // By this it and its forks are found should this runner be killed.
        environment.insert("PLUE_OUTPUT".into(), mark.clone().into());
        let place = Place::bare(environment, self.workspace.root.clone());
        let started = find("python3", &place.environment).ok().and_then(|python| {
            let real = pyenv::behind(&python, &place.environment, &place.directory);
            Warm::start(&real.unwrap_or(python), &place).ok()
        });
        let Some(warm) = started else {
            self.interpreter = Interpreter::Off;
            return;
        };
        let mut variable = OsString::from("PLUE_OUTPUT=");
        variable.push(mark);
        let mark = variable.into_encoded_bytes();
        self.children.set_interpreter(Some((warm.pid(), mark)));
        self.interpreter = Interpreter::Warm(warm);
    }

    /// Takes the end of a forked process. An interpreter that fails is given up; its children
    /// become this process's own and are reaped like any other.
    pub(super) fn note_forked(&mut self, ended: io::Result<Reaped>) {
        match ended {
            Ok(reaped) => self.children.note(reaped, true),
            Err(_) => self.cool_down(),
        }
    }

    fn cool_down(&mut self) {
        if let Interpreter::Warm(warm) = &self.interpreter
            && let Some(pid) = rustix::process::Pid::from_raw(warm.pid())
        {
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        self.interpreter = Interpreter::Off;
    }
}
