//! The files of the run, ordered by an engine of another machine.

use plue_plan::RunId;
use plue_runtime::Tasks;
use plue_wire::runner::{FromRunner, WorkspaceReport, WorkspaceSpec};

use super::Runner;
use crate::{Error, attempt::Report, link::Dial, workspace::Ordered};

impl<D: Dial + Clone + 'static> Runner<D> {
    /// Takes the order of a run's files; the report follows, in this session or in a later one that orders
    /// them again.
    pub(super) fn order_files(&mut self, spec: &WorkspaceSpec) -> Result<(), Error> {
        let archive = match self.workspace.files.order(&spec.run, spec.archive) {
            Ordered::Ready => return self.report_files(spec.run.clone(), None),
            Ordered::Refused(why) => return self.report_files(spec.run.clone(), Some(why)),
            Ordered::Fetching => return Ok(()),
            Ordered::Fetch(_) if !self.attempts.is_empty() => {
                self.workspace.files.give_up();
                let why = "the runner has attempts of another run".to_owned();
                return self.report_files(spec.run.clone(), Some(why));
            }
            Ordered::Fetch(archive) => archive,
        };
        let work = self.workspace.files.fetch(archive, &self.outputs.client());
        let (reports, run) = (self.reports.sender.clone(), spec.run.clone());
        // Not among the tasks that the runner waits for: it ends when its questions have no answer.
        Tasks::new().spawn_blocking(move || {
            let fetched = work();
            let _runner_gone = reports.blocking_send(Report::Fetched(run, fetched));
        });
        Ok(())
    }

    pub(super) fn note_fetched(
        &mut self,
        run: RunId,
        fetched: Result<(), String>,
    ) -> Result<(), Error> {
        let root = self.workspace.root.clone();
        let placed = fetched.and_then(|()| {
            let published = self.workspace.files.publish(run.clone(), &root);
            published.map_err(|error| format!("{}: {error}", root.display()))
        });
        if placed.is_err() {
            self.workspace.files.give_up();
        }
        self.report_files(run, placed.err())
    }

    /// Reports to the engine; without a session the next one orders the files again.
    fn report_files(&mut self, run: RunId, error: Option<String>) -> Result<(), Error> {
        if !self.link.is_welcome() {
            return Ok(());
        }
        self.send(&FromRunner::Workspace(WorkspaceReport { run, error }))
    }
}
