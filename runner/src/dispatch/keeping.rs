//! Questions of the keeper on their way to the engine.

use plue_wire::runner::FromRunner;

use super::{Connection, Runner};
use crate::{Error, keeper::desk::Ask, link::Dial};

impl<D: Dial + Clone + 'static> Runner<D> {
    /// Sends a question, now or with the next session.
    pub(super) fn ask(&mut self, ask: Ask) -> Result<(), Error> {
        let question = self.desk.asked(ask).clone();
        if matches!(self.connection, Connection::Up { is_welcome: true, .. }) {
            return self.send(&FromRunner::Ask(question));
        }
        self.desk.is_alone();
        Ok(())
    }

    /// A new session knows nothing of what the one before was asked.
    pub(super) fn ask_again(&mut self) -> Result<(), Error> {
        for question in self.desk.unanswered() {
            self.send(&FromRunner::Ask(question))?;
        }
        Ok(())
    }
}
