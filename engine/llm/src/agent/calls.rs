//! The calls of one answer: carried out, held for people, or refused.

use serde_json::{Map, Value as Json};

use crate::{
    agent::{Agent, Held, MAX_CALLS, MAX_HELD, StartedRun, approval},
    answer::{Answer, Block},
};

/// A tool call to carry out.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// `toolu_…`, unique in its answer.
    pub id: String,
    /// Number of calls of earlier answers with the same id.
    pub earlier: u32,
    /// Name of the called tool, as the model gave it.
    pub name: String,
    /// Arguments of the call, as the model gave them.
    pub input: Map<String, Json>,
    /// The decision that it waits for; `None`: it may be carried out.
    pub held: Option<Held>,
    /// The call starts an agent: its number among those of this one, from 1.
    pub agent: Option<u32>,
    /// The run of a workflow that the call has started.
    pub run: Option<Box<StartedRun>>,
}

#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) call: Call,
    pub(super) result: Option<Block>,
    /// Reason not to carry the call out, sent to the model as an error; `None`: it is carried out.
    pub(super) refused: Option<String>,
}

// === impl Call ===

impl Call {
    /// The id, followed by a number from 2 if earlier answers used it too.
    #[must_use]
    pub fn unique_id(&self) -> String {
        match self.earlier {
            0 => self.id.clone(),
            earlier => format!("{}#{}", self.id, u64::from(earlier) + 1),
        }
    }
}

// === impl Agent ===

impl Agent {
    pub(super) fn calls(&self, answer: &Answer) -> Vec<Open> {
        let mut open: Vec<Open> = Vec::new();
        let most =
            self.task.as_ref().and_then(|task| task.children.as_ref()).map_or(0, |it| it.most);
        let mut agents = self.started.agents;
        for call in answer.tool_calls() {
            let Some(input) = call.input else { continue };
            let needs_approval =
                self.task.as_ref().is_some_and(|task| task.needs_approval(call.name, input));
            let held = open.iter().filter(|open| open.call.held.is_some()).count();
            let refused = if open.len() >= MAX_CALLS {
                Some(format!("Not carried out: at most {MAX_CALLS} calls in one answer."))
            } else if let Some(why) = self.refusal(call.name, input) {
                Some(format!("Not carried out: {why}."))
            } else if open.iter().any(|other| other.call.id == call.id) {
                Some("Not carried out: another call has the same id.".to_owned())
            } else if self.starts_agent(call.name) && agents >= most {
                Some(format!("Not carried out: {most} agents were started, and no more may be."))
            } else if !needs_approval {
                None
            } else if self.decided.contains(call.id) {
                Some("Not carried out: an earlier call had the same id.".to_owned())
            } else if held >= MAX_HELD {
                Some(format!(
                    "Not carried out: people approve at most {MAX_HELD} calls of one answer."
                ))
            } else {
                let why = approval::unreadable(call.id, input);
                why.map(|why| format!("Not carried out: {why}."))
            };
            let held = (needs_approval && refused.is_none()).then(Held::default);
            let (id, name) = (call.id.to_owned(), call.name.to_owned());
            let agent = (refused.is_none() && self.starts_agent(call.name)).then(|| {
                agents += 1;
                agents
            });
            let earlier = self.earlier.get(call.id).copied().unwrap_or_default();
            open.push(Open {
                call: Call { id, earlier, name, input: input.clone(), held, agent, run: None },
                result: None,
                refused,
            });
        }
        open
    }
}
