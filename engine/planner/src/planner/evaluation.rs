//! One evaluation of a file, without a cache: its plans, or its problems with drafts of its plans.

use std::{collections::BTreeSet, sync::Arc};

use plue_plan::Diagnostic;
use plue_spec::workflow::Format;
use plue_wire::eval::{Facts, Usage};

use super::{Evaluated, Made, PlanRequest, PlanSource, Planner};
use crate::{
    declared,
    error::{Error, PlanError},
    exchange::Exchange,
    judge::{Draft, PlannedWorkflow, Refused, Replies, judge},
    pool::Trust,
    read_set::{Question, ReadSet},
    sources::Sources,
    texts::{self, TextLibrary, Texts, bind_all},
    view::{CommitView, ViewError},
};

impl Planner {
    /// Drafts of the plans of a file that is refused, for further checks; they never run. Evaluates
    /// the file again; empty if nothing of it can be read, or if it is valid.
    ///
    /// # Errors
    /// Something of ours failed.
    pub async fn drafts(&self, request: &PlanRequest) -> Result<Vec<Draft>, Error> {
        let question = Question::of(request);
        let sources = match self.sources(&request.view, &request.entry).await {
            Ok(sources) => sources,
            Err(PlanError::Invalid(_)) => return Ok(Vec::new()),
            Err(PlanError::Infrastructure(error)) => return Err(error),
        };
        let made = self.evaluate(&sources, &question, &request.view, request.trust).await;
        match made {
            Ok(_) => Ok(Vec::new()),
            Err(Refused { error: PlanError::Infrastructure(error), .. }) => Err(error),
            Err(Refused { error: PlanError::Invalid(_), drafts }) => Ok(drafts),
        }
    }

    /// The plans of a file, or its problems.
    pub(super) async fn evaluated(
        &self,
        sources: &Sources,
        question: &Question,
        view: &Arc<dyn CommitView>,
        trust: Trust,
    ) -> Result<Made, PlanError> {
        let made = self.evaluate(sources, question, view, trust).await;
        made.map_err(|refused| refused.error)
    }

    /// The plans of a file, or its problems and drafts.
    async fn evaluate(
        &self,
        sources: &Sources,
        question: &Question,
        view: &Arc<dyn CommitView>,
        trust: Trust,
    ) -> Result<Made, Refused> {
        if let Some(format) = declared::format(&sources.entry) {
            return self.read_declared(sources, question, view, format).await;
        }
        let exchange = Exchange { sources, question, view, tasks: &self.0.tasks };
        let mut checkout = self.0.pool.checkout(trust).await?;
        let settled = exchange.run(&mut checkout).await;
        let build = checkout.build().to_owned();
        checkout.give_back();
        let settled = settled?;
        tracing::debug!(
            workflow.path = sources.entry,
            rounds = settled.rounds,
            cpu_us = settled.usage.cpu_us,
            wall_us = settled.usage.wall_us,
            max_rss_kib = settled.usage.max_rss_kib,
            "evaluated"
        );
        let replies =
            Replies { outcomes: settled.outcomes, third: settled.third, survey: settled.survey };
        let workflows = match judge(replies, sources) {
            Ok(workflows) => workflows,
            Err(refused) => return Err(self.with_texts(refused, view).await?),
        };
        let (workflows, texts) = self.bound(workflows, view).await?;
        let knows_event = settled.knows_event;
        let question_asked = if knows_event { question.clone() } else { question.of_any_event() };
        let read_set = ReadSet::of(sources, &question_asked, &settled.facts, &build);
        let evaluated = Evaluated {
            workflows: workflows.into(),
            read_set: Arc::new(ReadSet { texts, ..read_set }),
            printed: settled.printed,
            usage: settled.usage,
            rounds: settled.rounds,
            origin: PlanSource::Evaluated,
        };
        Ok(Made { evaluated, knows_event })
    }

    /// The plan of a YAML or JSON file; no evaluator is started.
    async fn read_declared(
        &self,
        sources: &Sources,
        question: &Question,
        view: &Arc<dyn CommitView>,
        format: Format,
    ) -> Result<Made, Refused> {
        let source = sources.clone();
        let read = self.blocking(move || declared::plan(&source, format)).await?;
        let workflows = match read {
            Ok(workflows) => workflows,
            Err(refused) => return Err(self.with_texts(refused, view).await?),
        };
        let (workflows, texts) = self.bound(workflows, view).await?;
        let question_asked = question.of_any_event();
        let read_set = ReadSet::of(sources, &question_asked, &Facts::default(), declared::BUILD);
        let evaluated = Evaluated {
            workflows: workflows.into(),
            read_set: Arc::new(ReadSet { texts, ..read_set }),
            printed: String::new(),
            usage: Usage::default(),
            rounds: 0,
            origin: PlanSource::Evaluated,
        };
        Ok(Made { evaluated, knows_event: false })
    }

    /// The same plans, with the prompts and roles that they name; every front end ends here.
    async fn bound(
        &self,
        workflows: Vec<PlannedWorkflow>,
        view: &Arc<dyn CommitView>,
    ) -> Result<(Vec<PlannedWorkflow>, Texts), Refused> {
        let view = Arc::clone(view);
        self.blocking(move || bind_all(workflows, &*view)).await?
    }

    /// The problems of a file with those of the prompts that its drafts name: all at once, in the order of
    /// the text, none twice.
    async fn with_texts(
        &self,
        refused: Refused,
        view: &Arc<dyn CommitView>,
    ) -> Result<Refused, Error> {
        let Refused { error, drafts } = refused;
        let PlanError::Invalid(mut problems) = error else { return Ok(Refused { error, drafts }) };
        let view = Arc::clone(view);
        let found = self.blocking(move || {
            let (mut texts, mut found) = (Texts::new(), Vec::new());
            for Draft { plan, places } in &drafts {
                found.extend(texts::bind(TextLibrary::new(&*view), plan, places, &mut texts)?);
            }
            Ok::<_, ViewError>((found, drafts))
        });
        let (found, drafts) = found.await??;
        problems.extend(found);
        Ok(Refused { error: PlanError::Invalid(in_order(problems)), drafts })
    }
}

/// By place, each problem once; those without a place come last.
fn in_order(problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<Diagnostic> = problems
        .into_iter()
        .filter(|problem| {
            let place = problem.span.as_ref().map(|span| (span.file.clone(), span.line));
            seen.insert((problem.code.clone(), problem.message.clone(), place))
        })
        .collect();
    kept.sort_by_key(|problem| {
        let place = problem.span.as_ref().map(|span| (span.file.clone(), span.line, span.column));
        (place.is_none(), place)
    });
    kept
}
