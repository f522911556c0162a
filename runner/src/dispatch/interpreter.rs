//! The warm interpreter of a runner: when it starts, and the fallback when it fails.

use std::{ffi::OsString, io};

use plue_wire::runner::{Exit, Program};

use super::reaping::InterpreterMark;
use crate::{
    attempt::launch::{LaunchContext, Process, find},
    python::{
        pyenv,
        warm::{Failed, Warm},
    },
    system::Reaped,
    workspace::{AttemptFiles, Workspace},
};

#[derive(Debug)]
pub(super) enum Interpreter {
    /// No interpreter has been started.
    Cold,
    Warm(Warm),
    /// Disabled, not installed, or failed once.
    Off,
}

// === impl Interpreter ===

impl Interpreter {
    pub(super) fn new(is_enabled: bool) -> Self {
        if is_enabled { Self::Cold } else { Self::Off }
    }

    /// The next forked process that has ended; pending without an interpreter. Cancel-safe.
    pub(super) async fn next(&mut self) -> io::Result<Reaped> {
        match self {
            Self::Warm(warm) => warm.next().await,
            Self::Cold | Self::Off => std::future::pending().await,
        }
    }

    /// Forks a Python step; `None` if it must be started without the interpreter.
    ///
    /// # Errors
    /// It may run or not: it must not be started again under this claim.
    pub(super) fn fork(
        &mut self,
        program: &Program,
        context: &LaunchContext,
        files: &mut AttemptFiles,
    ) -> Result<Option<Process>, Exit> {
        let Self::Warm(warm) = self else {
            return Ok(None);
        };
        match warm.fork(program, context, &files.returned()) {
            Ok(process) => Ok(process),
            Err(Failed::Before) => {
                self.stop();
                Ok(None)
            }
            Err(Failed::After(error)) => {
                self.stop();
                Err(Exit::Infra(format!("the interpreter that had the step broke: {error}")))
            }
        }
    }

    /// Starts a cold interpreter; returns the mark of its process. Does not wait for it.
    pub(super) fn warm_up(&mut self, workspace: &Workspace) -> Option<InterpreterMark> {
        if !matches!(self, Self::Cold) {
            return None;
        }
        let output = workspace.folder().join("interpreter");
        let mut environment = workspace.inherited.clone();
        // Identifies the interpreter and its forks after the runner was killed.
        environment.insert("PLUE_OUTPUT".into(), output.clone().into());
        let context = LaunchContext::bare(environment, workspace.root.clone());
        let started = find("python3", &context.environment).ok().and_then(|python| {
            let real = pyenv::behind(&python, &context.environment, &context.directory);
            Warm::start(&real.unwrap_or(python), &context).ok()
        });
        let Some(warm) = started else {
            *self = Self::Off;
            return None;
        };
        let mut variable = OsString::from("PLUE_OUTPUT=");
        variable.push(output);
        let mark = InterpreterMark { pid: warm.pid(), variable: variable.into_encoded_bytes() };
        *self = Self::Warm(warm);
        Some(mark)
    }

    /// Kills the interpreter; another one may start.
    pub(super) fn restart(&mut self) {
        if matches!(self, Self::Warm(_)) {
            self.stop();
            *self = Self::Cold;
        }
    }

    /// Kills the interpreter for good.
    pub(super) fn stop(&mut self) {
        if let Self::Warm(warm) = self
            && let Some(pid) = rustix::process::Pid::from_raw(warm.pid())
        {
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        *self = Self::Off;
    }
}
