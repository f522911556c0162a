//! The processes of a runner: children of its own, and the warm interpreter with its forks.

use std::io;

use plue_wire::runner::{Exit, Program};

use super::{
    interpreter::Interpreter,
    reaping::{Children, Watched},
};
use crate::{
    attempt::launch::{LaunchContext, Process},
    python,
    system::Reaped,
    workspace::{AttemptFiles, Workspace},
};

#[derive(Debug)]
pub(super) struct Processes {
    children: Children,
    interpreter: Interpreter,
}

// === impl Processes ===

impl Processes {
    pub(super) fn new(forks_python: bool) -> Self {
        Self { children: Children::default(), interpreter: Interpreter::new(forks_python) }
    }

    /// Reports the end of this process to its attempt.
    pub(super) fn watch(&mut self, child: Watched) {
        self.children.watch(child);
    }

    /// Reaps ended children and reports them to their attempts.
    pub(super) fn reap(&mut self) {
        self.children.reap();
    }

    /// The next ended fork of the interpreter; pending without one. Cancel-safe.
    pub(super) async fn next_forked(&mut self) -> io::Result<Reaped> {
        self.interpreter.next().await
    }

    /// Takes the end of a fork. An interpreter that fails is given up; its children become children
    /// of this process and are reaped like any other.
    pub(super) fn note_forked(&mut self, ended: io::Result<Reaped>) {
        match ended {
            Ok(reaped) => self.children.note(reaped, true),
            Err(_) => self.interpreter.stop(),
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
        workspace: &Workspace,
    ) -> Result<Option<Process>, Exit> {
        if !is_python(program) || !python::fits(&context.environment, &workspace.inherited) {
            return Ok(None);
        }
        self.warm_up(workspace);
        self.interpreter.fork(program, context, files)
    }

    /// Kills the interpreter; the next Python step starts another one.
    pub(super) fn stop_interpreter(&mut self) {
        self.interpreter.restart();
    }

    /// Starts the interpreter, unless it was started before. Does not wait for it.
    pub(super) fn warm_up(&mut self, workspace: &Workspace) {
        if let Some(started) = self.interpreter.warm_up(workspace) {
            self.children.set_interpreter(started);
        }
    }
}

fn is_python(program: &Program) -> bool {
    match program {
        Program::Shell { .. }
        | Program::WithServices { .. }
        | Program::Agent
        | Program::McpAgent { .. } => false,
        Program::PythonCode { .. } | Program::PythonScript { .. } => true,
    }
}
