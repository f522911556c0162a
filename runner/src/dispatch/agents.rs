//! Orders for agents: from the session to the attempt, before and while its process runs.

use std::collections::HashMap;

use plue_wire::runner::{AgentOrder, Assign, Claim, Program};

use super::Runner;
use crate::{
    Error,
    attempt::agent::{OrderSender, Orders, orders},
    link::Dial,
};

/// Attempts whose program is an agent.
#[derive(Debug, Default)]
pub(super) struct Agents(HashMap<Claim, (OrderSender, Option<Orders>)>);

// === impl Agents ===

impl Agents {
    /// An assignment was taken: orders for it may come.
    pub(super) fn announce(&mut self, assign: &Assign) {
        let program = match &assign.program {
            Program::Beside { program, .. } => program,
            program => program,
        };
        if matches!(program, Program::Agent | Program::McpAgent { .. }) {
            let (sender, orders) = orders();
            self.0.insert(assign.claim.clone(), (sender, Some(orders)));
        }
    }

    /// The orders, for the process that is to take them.
    pub(super) fn take(&mut self, claim: &Claim) -> Option<Orders> {
        self.0.get_mut(claim)?.1.take()
    }

    pub(super) fn forget(&mut self, claim: &Claim) {
        self.0.remove(claim);
    }
}

impl<D: Dial + Clone + 'static> Runner<D> {
    /// Hands an order to the attendant of an attempt; one for an attempt that is over is dropped.
    pub(super) fn order(&mut self, claim: &Claim, order: AgentOrder) -> Result<(), Error> {
        let Some((sender, _)) = self.agents.0.get(claim) else { return Ok(()) };
        let Some(refusal) = sender.send(order) else { return Ok(()) };
        let at_us = self.clock.now().as_microsecond();
        match self.held.get_mut(&claim.attempt).filter(|held| held.claim == *claim) {
            Some(held) => held.note(at_us, refusal),
            None => Ok(()),
        }
    }
}
