//! Orders for agents: from the session to the attempt, before and while its process runs.

use std::collections::HashMap;

use plue_wire::runner::{AgentOrder, Assign, Claim, EventKind, Program};

use crate::attempt::agent::{OrderSender, Orders, orders};

/// Attempts whose program is an agent.
#[derive(Debug, Default)]
pub(super) struct Agents(HashMap<Claim, (OrderSender, Option<Orders>)>);

// === impl Agents ===

impl Agents {
    /// Opens the queue of an accepted assignment, if its program is an agent.
    pub(super) fn announce(&mut self, assign: &Assign) {
        let program = match &assign.program {
            Program::WithServices { program, .. } => program,
            program => program,
        };
        if matches!(program, Program::Agent | Program::McpAgent { .. }) {
            let (sender, orders) = orders();
            self.0.insert(assign.claim.clone(), (sender, Some(orders)));
        }
    }

    /// Queues an order for its attempt; drops it if the attempt is over. Returns the event that
    /// replaces an order for which there is no room.
    pub(super) fn send(&self, claim: &Claim, order: AgentOrder) -> Option<EventKind> {
        let (sender, _) = self.0.get(claim)?;
        sender.send(order)
    }

    /// The queued orders, for the process that executes them.
    pub(super) fn take(&mut self, claim: &Claim) -> Option<Orders> {
        self.0.get_mut(claim)?.1.take()
    }

    pub(super) fn forget(&mut self, claim: &Claim) {
        self.0.remove(claim);
    }
}
