//! The question of `plue plan --goal`: a run of the workflow `plan_from_goal` in the repository, so that it
//! has a transcript, a budget and a place among the runs like any other.
//!
//! Must not judge the answer.

use std::ops::ControlFlow;

use plue_executor::Loaded;
use plue_flow::RunStatus;
use plue_planner::session::PLAN_FROM_GOAL;
use plue_planner::{
    WorkTree,
    texts::{TextKind, TextLibrary},
};
use plue_store::RunFilter;
use serde_json::Value as Json;

use crate::{
    app::App,
    args::{PlanArgs, RunArgs, SourceArgs},
    commands::run::driven,
    exit::Exit,
    failure::{Failure, from_executor, from_store},
    sources, wiring,
};

/// Questions that are searched for the answer to a goal, the latest first.
const MAX_QUESTIONS: u32 = 50;

/// A goal in its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'q> {
    pub(super) args: &'q PlanArgs,
    pub(super) goal: &'q str,
    pub(super) app: &'q App,
}

// === impl Question ===

impl Question<'_> {
    /// Asks Claude. `before`: an answer that was not valid, and its problems. The exit code if the run
    /// has no answer: it is shown already.
    ///
    /// # Errors
    /// As `plue run`.
    pub(super) fn ask(
        &self,
        before: Option<(&str, &Failure)>,
    ) -> Result<ControlFlow<Exit, String>, Failure> {
        let tree = WorkTree::new(self.app.repository(self.args.source.repo.as_deref())?);
        let roles = TextLibrary::new(&tree).all(TextKind::Role);
        let roles = roles.map_err(|error| Failure::infrastructure(&error))?;
        let roles: Vec<_> = roles.into_iter().map(|(name, _)| name).collect();
        let mut inputs = vec![format!("roles={}", Json::from(roles))];
        if let Some((answer, failure)) = before {
            let problems: Vec<_> = failure.diagnostics.iter().map(ToString::to_string).collect();
            inputs.push(format!("answer={}", Json::from(answer)));
            inputs.push(format!("problems={}", Json::from(problems.join("\n"))));
        }
        if let Some(usd) = self.args.goal.budget {
            inputs.push(format!("budget={usd}"));
        }
        let args = RunArgs {
            workflow: Some(PLAN_FROM_GOAL.to_owned()),
            source: SourceArgs { repo: self.args.source.repo.clone(), event: None, inputs },
            goal: Some(self.goal.to_owned()),
            no_input: true,
            ..RunArgs::default()
        };
        let (run, exit) = driven(args, self.app)?;
        if exit != Exit::Ok {
            return Ok(ControlFlow::Break(exit));
        }
        wiring::block_on(async {
            let store = wiring::open_existing(self.app).await?;
            let loaded = Loaded::read(&store, &run).await.map_err(|error| from_executor(&error))?;
            let answer = answer_of(&loaded);
            let missing = || Failure::not_found(format!("run {run} has no answer"));
            Ok(ControlFlow::Continue(answer.ok_or_else(missing)?))
        })
    }

    /// The answer to the latest question for this goal in this repository.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn answered(&self) -> Result<String, Failure> {
        let place = sources::select(self.app, self.args.source.repo.as_deref(), [])?;
        wiring::block_on(async {
            let store = wiring::open_existing(self.app).await?;
            let filter = RunFilter {
                status: vec![RunStatus::Success],
                workflow: Some(PLAN_FROM_GOAL.to_owned()),
                limit: MAX_QUESTIONS,
                ..RunFilter::default()
            };
            let rows = store.runs().list(&filter).await.map_err(|error| from_store(&error))?;
            for row in rows {
                let loaded = Loaded::read(&store, &row.id).await;
                let loaded = loaded.map_err(|error| from_executor(&error))?;
                let is_here = loaded.origin.repository == place.repo;
                if is_here
                    && loaded.plan.goal.as_deref() == Some(self.goal)
                    && let Some(answer) = answer_of(&loaded)
                {
                    return Ok(answer);
                }
            }
            Err(Failure::not_found("Claude was not asked for this goal in this repository")
                .hint("leave --approve out to ask, or name the answer: --answer FILE"))
        })
    }
}

/// The workflow that a run of the question put out.
fn answer_of(loaded: &Loaded) -> Option<String> {
    Some(loaded.run.outputs()?.get("workflow")?.as_str()?.to_owned())
}
