//! The assignment of a Claude step's agent, and the MCP servers that the engine connects to for it.

use std::sync::Arc;

use plue_flow::Run;
use plue_plan::{Action, StepId};

use super::RunContext;
use crate::{
    claude::{
        assignment::{Assignment, assignment},
        mcp::{Remote, Remotes},
    },
    perform::{call, scope::AttemptNumber},
};

// === impl RunContext: agents ===

impl RunContext {
    /// The assignment of a step's agent.
    ///
    /// # Errors
    /// A text for the author, with a code.
    pub(crate) fn agent_assignment(
        &self,
        run: &Run,
        step: &StepId,
        at: AttemptNumber,
    ) -> Result<Assignment, String> {
        let definition = self.plan.step(step).ok_or("no such step")?;
        let (Action::Llm(llm), Some(claude)) = (&definition.action, self.claude()) else {
            return Err(crate::claude::no_key());
        };
        if self.origin.untrusted || self.row.fork.is_some() {
            return Err(crate::claude::untrusted());
        }
        let today = self.time.now().to_zoned(jiff::tz::TimeZone::UTC).date();
        self.evaluate(run, step, at, |scope| {
            assignment((&self.plan, definition, llm), &self.origin.read_set, scope, claude, today)
        })
    }

    /// The MCP servers of an agent that the engine connects to, with the headers of their requests.
    ///
    /// # Errors
    /// A text for the author: a header without a value.
    pub(crate) fn remote_servers(
        &self,
        run: &Run,
        assignment: &Assignment,
        step: &StepId,
        at: AttemptNumber,
    ) -> Result<Remotes, String> {
        let guard = self.guard();
        let with_url = assignment.servers.iter().filter(|used| used.server.url.is_some());
        let mut remotes = Remotes::new();
        for server in with_url.map(|used| &used.server) {
            let headers = self.evaluate(run, step, at, |scope| {
                let headers = server.headers.iter().map(|(name, value)| {
                    let text =
                        call::header(value, scope, self.secrets.as_ref()).map_err(|why| {
                            format!("header {name} of the MCP server `{}`: {why}", server.name)
                        })?;
                    Ok((name.to_ascii_lowercase(), text))
                });
                headers.collect::<Result<_, String>>()
            })?;
            let remote = Remote::new(server, headers, guard.clone(), self.shared.tasks.clone());
            remotes.extend(remote.map(|remote| (server.name.clone(), Arc::new(remote))));
        }
        Ok(remotes)
    }
}
