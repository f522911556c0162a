//! The environment and the outputs of an attempt, evaluated before it is handed to a runner.

use plue_flow::{Run, fact::Outcome};
use plue_plan::{Step, StepId};
use plue_wire::{outputs::OutputSpec, runner::FETCH_HOSTS_VARIABLE};

use super::RunContext;
use crate::perform::{
    environment::{AttemptContext, AttemptEnv, environment},
    output_spec::output_spec,
    scope::AttemptNumber,
};

// === impl RunContext: attempts ===

impl RunContext {
    /// The environment of an attempt; an error is the outcome of the attempt.
    pub(crate) fn prepare(
        &self,
        run: &Run,
        step: &StepId,
        at: AttemptNumber,
    ) -> Result<AttemptEnv, Outcome> {
        let refused = |message: String| Outcome::Refused { message };
        let step = self.plan.step(step).ok_or_else(|| refused(format!("no step {step}")))?;
        let attempt = AttemptContext {
            run: &self.row.id,
            step,
            at,
            traceparent: self.traceparent(&step.id, at),
        };
        let (mut fetch_hosts, mut servers) = (Vec::new(), Vec::new());
        if self.is_agent(&step.id) {
            let assignment = self.agent_assignment(run, &step.id, at).map_err(refused)?;
            self.remote_servers(run, &assignment, &step.id, at).map_err(refused)?;
            (fetch_hosts, servers) = (assignment.fetch_hosts, assignment.servers);
        }
        let prepared = self.evaluate(run, &step.id, at, |scope| {
            environment(&attempt, &self.event, &self.plan.env, scope, self.secrets.as_ref())
        });
        let mut env = prepared.map_err(refused)?;
        env.mcp.retain(|server| servers.iter().any(|used| used.server.name == server.name));
        if !fetch_hosts.is_empty() {
            env.plain.push((FETCH_HOSTS_VARIABLE.to_owned(), fetch_hosts.join(",")));
        }
        Ok(env)
    }

    /// The outputs that the runner uploads of an attempt; `None`: nothing.
    pub(crate) fn output_spec(
        &self,
        run: &Run,
        step: &Step,
        at: AttemptNumber,
        env: &AttemptEnv,
    ) -> Option<OutputSpec> {
        let checkpoints = self.shared.options.workspaces.checkpoints;
        let spec = self.evaluate(run, &step.id, at, |scope| {
            Ok(output_spec((&self.plan, step), run, env, scope, checkpoints))
        });
        spec.unwrap_or_default()
    }
}
