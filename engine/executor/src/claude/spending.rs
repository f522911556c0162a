//! Spending of an agent: reservations of money and tokens before each call, in every budget of its chain at
//! once: agent, step, run and the runs above it, workflow, repository, organisation.

use std::fmt;

use jiff::{Timestamp, ToSpan as _, Zoned, civil::Date, tz::TimeZone};
use plue_llm::{PicoUsd, Request, agent::Input, price::Price};
use plue_plan::{AttemptId, RunId};
use plue_runtime::metrics::names::CLAUDE_REFUSALS;
use plue_store::usage::claude::{NewCall, Reserved, SpendLife, SpendScope, SpendUnit, Spent};

use super::{PeriodLimits, SpendLimits, agent_run::AgentScope};
use crate::perform::child::{BudgetOwner, RunBudget};

/// The shortest useful answer.
pub(super) const FEWEST_TOKENS: u32 = 256;
/// Input tokens that the API adds by itself.
const OVERHEAD_TOKENS: u64 = 1_024;
/// The name of a missing repository or organisation.
const NONE: &str = "-";

/// The outcome of a reservation.
pub(crate) enum Reservation {
    /// Id of the call that may be made.
    Made(String),
    /// The input for the agent: a budget is exhausted.
    Refused(Input),
}

/// The budgets of one agent.
#[derive(Debug, Clone)]
pub(crate) struct Budgets {
    /// Slices of a subagent and of those above it, the outermost first; none for the agent of a step.
    pub(crate) slices: Vec<Slice>,
    pub(crate) step: Limit,
    pub(crate) run: Limit,
    /// Budgets of the runs above, in picodollars.
    pub(crate) above: Vec<RunBudget>,
    /// Budgets of the runs above, in tokens.
    pub(crate) tokens_above: Vec<RunBudget>,
    /// The workflow and those of the runs above, the outermost first.
    pub(crate) workflows: Vec<String>,
    pub(crate) repo: Option<String>,
    pub(crate) limits: SpendLimits,
}

/// The part of a step's budget that a subagent may use.
#[derive(Debug, Clone)]
pub(crate) struct Slice {
    /// Id of the subagent's transcript.
    pub(crate) id: AttemptId,
    /// Name and number of the subagent, for people.
    pub(crate) label: String,
    pub(crate) limit: Limit,
}

/// Limits of an agent, a step or a run; `None`: unlimited.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limit {
    pub(crate) usd: Option<PicoUsd>,
    pub(crate) tokens: Option<u64>,
}

/// The highest possible use of a call.
#[derive(Debug, Clone, Copy)]
struct CallCeiling {
    cost: PicoUsd,
    tokens: u64,
}

/// A budget of the chain.
#[derive(Debug)]
struct Link {
    scope: SpendScope,
    owner: Owner,
    period: Option<Period>,
}

/// The owner of a budget.
#[derive(Debug, Clone)]
enum Owner {
    Agent(String),
    Step(String),
    Run,
    /// A run above, or a part of it that started this one.
    Above(RunBudget),
    Workflow(String),
    Repository(String),
    Organisation(String),
}

/// A day or a month of a budget (UTC).
#[derive(Debug, Clone)]
struct Period {
    unit: Unit,
    /// As in the names of budgets: `2026-11-23` or `2026-11`.
    name: String,
    ends_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Day,
    Month,
}

// === impl Limit ===

impl Limit {
    /// The limits of a budget as a plan has it.
    pub(crate) fn of(budget: Option<&plue_plan::policy::Budget>) -> Self {
        let usd = budget.and_then(|budget| budget.usd).and_then(PicoUsd::from_usd);
        Self { usd, tokens: budget.and_then(|budget| budget.tokens) }
    }
}

// === impl Budgets ===

impl Budgets {
    /// The chain of a call, the narrowest budget first.
    fn chain(&self, (run, step): (&RunId, &str), now: Timestamp) -> Vec<Link> {
        let link = |name: String, run: &RunId, unit, limit: Option<u64>, owner| Link {
            scope: SpendScope { name, life: SpendLife::Run(run.clone()), unit, limit },
            owner,
            period: None,
        };
        let of_run = |name: String, run: &RunId, limit: Option<u64>, owner| {
            link(name, run, SpendUnit::Money, limit, owner)
        };
        // Tokens are only counted where they are limited.
        let of_tokens = |name: String, run: &RunId, limit: Option<u64>, owner| {
            limit.map(|limit| {
                link(format!("tokens {name}"), run, SpendUnit::Tokens, Some(limit), owner)
            })
        };
        let own = |limit: Option<PicoUsd>| limit.map(|limit| limit.0);
        let of_step = Owner::Step(step.to_owned());
        let mut chain = Vec::new();
        for slice in self.slices.iter().rev() {
            let (name, owner) = (format!("agent {}", slice.id), Owner::Agent(slice.label.clone()));
            chain.push(of_run(name.clone(), run, own(slice.limit.usd), owner.clone()));
            chain.extend(of_tokens(name, run, slice.limit.tokens, owner));
        }
        chain.push(of_run(format!("step {run} {step}"), run, own(self.step.usd), of_step.clone()));
        chain.extend(of_tokens(format!("step {run} {step}"), run, self.step.tokens, of_step));
        chain.push(of_run(format!("run {run}"), run, own(self.run.usd), Owner::Run));
        chain.extend(of_tokens(format!("run {run}"), run, self.run.tokens, Owner::Run));
        chain.extend(self.above.iter().map(|above| {
            of_run(above.name(), &above.run, Some(above.limit), Owner::Above(above.clone()))
        }));
        chain.extend(self.tokens_above.iter().filter_map(|above| {
            of_tokens(above.name(), &above.run, Some(above.limit), Owner::Above(above.clone()))
        }));
        let repo = self.repo.as_deref().unwrap_or(NONE);
        let organisation = self.repo.as_deref().and_then(plue_plan::event::owner).unwrap_or(NONE);
        let periods = Period::all(now);
        let mut of_periods = |name: String, limits: PeriodLimits, owner: Owner| {
            chain.extend(periods.iter().map(|period| Link {
                scope: SpendScope {
                    name: format!("{name} {}", period.name),
                    life: SpendLife::Until(period.ends_at),
                    unit: SpendUnit::Money,
                    limit: own(limits.of(period.unit)),
                },
                owner: owner.clone(),
                period: Some(period.clone()),
            }));
        };
        for (at, workflow) in self.workflows.iter().enumerate() {
            if self.workflows[..at].contains(workflow) {
                continue;
            }
            // Quoted as JSON: both names may have spaces.
            let name = serde_json::json!([repo, workflow]);
            let owner = Owner::Workflow(workflow.clone());
            of_periods(format!("workflow {name}"), self.limits.workflow, owner);
        }
        let owner = Owner::Repository(repo.to_owned());
        of_periods(format!("repo {repo}"), self.limits.repository, owner);
        let owner = Owner::Organisation(organisation.to_owned());
        of_periods(format!("organisation {organisation}"), self.limits.organisation, owner);
        chain
    }
}

// === impl RunBudget ===

impl RunBudget {
    /// The name under which spending is counted; that of a step is the one that its own calls use.
    fn name(&self) -> String {
        match &self.of {
            None => format!("run {}", self.run),
            Some(BudgetOwner::Step(step)) => format!("step {} {step}", self.run),
            Some(BudgetOwner::Call(call)) => format!("call {call}"),
        }
    }
}

// === impl PeriodLimits ===

impl PeriodLimits {
    const fn of(self, unit: Unit) -> Option<PicoUsd> {
        match unit {
            Unit::Day => self.day,
            Unit::Month => self.month,
        }
    }
}

// === impl Period ===

impl Period {
    /// The day and the month of a time.
    fn all(now: Timestamp) -> [Self; 2] {
        let date = now.to_zoned(TimeZone::UTC).date();
        let end = |next: Result<Date, jiff::Error>| {
            let zoned = next.and_then(|next| next.to_zoned(TimeZone::UTC));
            zoned.as_ref().map_or(Timestamp::MAX, Zoned::timestamp)
        };
        let day = end(date.tomorrow());
        let month = end(date.first_of_month().checked_add(1.month()));
        let name = |format: &str| date.strftime(format).to_string();
        [
            Self { unit: Unit::Day, name: name("%Y-%m-%d"), ends_at: day },
            Self { unit: Unit::Month, name: name("%Y-%m"), ends_at: month },
        ]
    }
}

// === impl Link ===

impl Link {
    /// The refusal of a call, with the way to raise the budget.
    fn refusal(&self, limit: u64, spent: Spent, most: CallCeiling) -> Input {
        let Spent { spent, reserved } = spent;
        match self.scope.unit {
            SpendUnit::Money => Input::Unpaid(self.message(
                PicoUsd(limit),
                (PicoUsd(spent), PicoUsd(reserved)),
                format_args!("may cost {}", most.cost),
            )),
            SpendUnit::Tokens => Input::NoTokens(self.message(
                format_args!("{limit} tokens"),
                (spent, reserved),
                format_args!("may take {}", most.tokens),
            )),
        }
    }

    fn message<A: fmt::Display>(
        &self,
        limit: impl fmt::Display,
        (paid, reserved): (A, A),
        next: fmt::Arguments<'_>,
    ) -> String {
        let in_period =
            self.period.as_ref().map_or(String::new(), |period| format!(" in {}", period.name));
        format!(
            "the budget of {}{in_period} is {limit}: {paid} are spent, {reserved} are reserved for other \
             calls, and the next call {next}; {}",
            self.owner,
            self.remedy()
        )
    }

    fn remedy(&self) -> String {
        let unit = match self.period.as_ref().map(|period| period.unit) {
            Some(Unit::Day) => "day",
            Some(Unit::Month) => "month",
            None => {
                return match &self.owner {
                    Owner::Agent(_) => {
                        "give a larger `budget_usd`, or raise `budget` of its role or prompt"
                            .to_owned()
                    }
                    Owner::Step(_) => {
                        "raise `budget` of the step, its prompt or its role".to_owned()
                    }
                    Owner::Above(RunBudget { of: Some(BudgetOwner::Call(_)), .. }) => {
                        "the agent that started this run may give it a larger `budget_usd`"
                            .to_owned()
                    }
                    Owner::Above(RunBudget { run, of: Some(BudgetOwner::Step(step)), .. }) => {
                        format!("raise `budget` of step `{step}` of run {run}")
                    }
                    Owner::Above(RunBudget { run, of: None, .. }) => {
                        format!("raise `budget` of the plan of run {run}")
                    }
                    _ => "raise `budget` of the plan".to_owned(),
                };
            }
        };
        let key = match &self.owner {
            Owner::Workflow(_) => "claude.workflow_budget",
            Owner::Organisation(_) => "claude.organisation_budget",
            _ => "claude.budget",
        };
        format!(
            "raise `{key}_{unit}` in the configuration of plue, or wait for the next {unit} (UTC)"
        )
    }
}

// === impl Owner ===

impl Owner {
    /// Label of the metric.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Agent(_) => "agent",
            Self::Step(_) => "step",
            Self::Run | Self::Above(_) => "run",
            Self::Workflow(_) => "workflow",
            Self::Repository(_) => "repository",
            Self::Organisation(_) => "organisation",
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(label) => write!(f, "agent `{label}`"),
            Self::Step(step) => write!(f, "step `{step}`"),
            Self::Run => f.write_str("the run"),
            Self::Above(RunBudget { run, of: None, .. }) => {
                write!(f, "run {run}, which started this one,")
            }
            Self::Above(RunBudget { run, of: Some(BudgetOwner::Step(step)), .. }) => {
                write!(f, "step `{step}` of run {run}, which started this one,")
            }
            Self::Above(RunBudget { run, of: Some(BudgetOwner::Call(_)), .. }) => {
                write!(f, "the call in run {run} that started this one")
            }
            Self::Workflow(name) => write!(f, "the workflow `{name}`"),
            Self::Repository(repo) if repo == NONE => f.write_str("runs without a repository"),
            Self::Repository(repo) => write!(f, "the repository {repo}"),
            Self::Organisation(name) if name == NONE => {
                f.write_str("repositories without an organisation")
            }
            Self::Organisation(name) => write!(f, "the organisation {name}"),
        }
    }
}

// === impl Budgets: reservations ===

impl Budgets {
    /// Reserves the highest cost and the most tokens of a request. If a budget has less left, the maximum
    /// length of the answer is reduced.
    pub(super) async fn reserve(
        &self,
        scope: &AgentScope,
        request: &mut Request,
        price: &Price,
    ) -> Result<Reservation, plue_store::Error> {
        let input = highest_input(request);
        loop {
            let output = u64::from(request.max_tokens);
            let cost = price.at_most(input, output);
            let most = CallCeiling { cost, tokens: input.saturating_add(output) };
            let now = scope.shared.clock.now();
            let mut chain = self.chain((&scope.run, scope.step.as_str()), now);
            let call = NewCall {
                id: scope.shared.ids.text(),
                run: scope.run.clone(),
                step: scope.step.clone(),
                attempt: scope.id.clone(),
                model: request.model.clone(),
                amount: cost.0,
                tokens: most.tokens,
                scopes: chain.iter().map(|link| link.scope.clone()).collect(),
                at: now,
            };
            let id = call.id.clone();
            let (exhausted, limit, spent) =
                match scope.shared.store.claude().reserve_call(call).await? {
                    Reserved::Yes => return Ok(Reservation::Made(id)),
                    Reserved::No { scope, limit, spent } => (scope, limit, spent),
                };
            let at = chain.iter().position(|link| link.scope.name == exhausted).unwrap_or(0);
            let link = chain.swap_remove(at);
            let left = limit.saturating_sub(spent.total());
            let affordable = match link.scope.unit {
                SpendUnit::Money => price.affordable_output(PicoUsd(left), input),
                SpendUnit::Tokens => left.saturating_sub(input),
            };
            let shorter = u32::try_from(affordable.min(output)).unwrap_or(u32::MAX);
            if shorter >= FEWEST_TOKENS && shorter < request.max_tokens {
                request.max_tokens = shorter;
                continue;
            }
            CLAUDE_REFUSALS.increment(&[("budget", link.owner.kind())]);
            return Ok(Reservation::Refused(link.refusal(limit, spent, most)));
        }
    }
}

/// The most input tokens of a request: a token has at least one byte.
pub(super) fn highest_input(request: &Request) -> u64 {
    let bytes = serde_json::to_vec(request).map_or(usize::MAX, |body| body.len());
    (bytes as u64).saturating_add(OVERHEAD_TOKENS)
}

#[cfg(test)]
mod tests {
    use plue_store::TranscriptId as _;

    use super::*;

    fn budgets() -> Budgets {
        let limits =
            |day, month| PeriodLimits { day: Some(PicoUsd(day)), month: Some(PicoUsd(month)) };
        Budgets {
            slices: Vec::new(),
            step: Limit { usd: Some(PicoUsd(1)), tokens: None },
            run: Limit { usd: Some(PicoUsd(2)), tokens: None },
            above: vec![RunBudget { run: RunId::new("r0"), limit: 3, of: None }],
            tokens_above: Vec::new(),
            workflows: vec!["Site \"A\"".to_owned(), "part".to_owned(), "part".to_owned()],
            repo: Some("acme/web/shop".to_owned()),
            limits: SpendLimits {
                workflow: limits(4, 5),
                repository: limits(6, 7),
                organisation: limits(8, 9),
            },
        }
    }

    fn chain(budgets: &Budgets, now: &str) -> Vec<Link> {
        budgets.chain((&RunId::new("r1"), "ask"), now.parse().unwrap())
    }

    #[test]
    fn calls_draw_from_the_whole_chain() {
        let chain = chain(&budgets(), "2026-12-31T23:59:59Z");
        let names: Vec<_> = chain
            .iter()
            .map(|link| (link.scope.name.as_str(), link.scope.limit.unwrap_or(0)))
            .collect();
        assert_eq!(
            names,
            [
                ("step r1 ask", 1),
                ("run r1", 2),
                ("run r0", 3),
                (r#"workflow ["acme/web/shop","Site \"A\""] 2026-12-31"#, 4),
                (r#"workflow ["acme/web/shop","Site \"A\""] 2026-12"#, 5),
                (r#"workflow ["acme/web/shop","part"] 2026-12-31"#, 4),
                (r#"workflow ["acme/web/shop","part"] 2026-12"#, 5),
                ("repo acme/web/shop 2026-12-31", 6),
                ("repo acme/web/shop 2026-12", 7),
                ("organisation acme 2026-12-31", 8),
                ("organisation acme 2026-12", 9),
            ]
        );
        let new_year: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        for link in &chain[3..] {
            assert_eq!(link.scope.life, SpendLife::Until(new_year));
        }
        assert_eq!(chain[2].scope.life, SpendLife::Run(RunId::new("r0")));
    }

    #[test]
    fn subagents_draw_from_their_slices_first() {
        let attempt = AttemptId::new("r1:ask:1:1");
        let slice = |id: AttemptId, usd, tokens| Slice {
            id,
            label: "reviewer 2".to_owned(),
            limit: Limit { usd: Some(PicoUsd(usd)), tokens },
        };
        let slices =
            vec![slice(attempt.agent(2), 30, None), slice(attempt.agent(2).agent(1), 20, Some(9))];
        let chain = chain(&Budgets { slices, ..budgets() }, "2026-11-23T10:00:00Z");
        let names: Vec<_> = chain.iter().take(4).map(|link| link.scope.name.as_str()).collect();
        let expected = [
            "agent r1:ask:1:1~2~1",
            "tokens agent r1:ask:1:1~2~1",
            "agent r1:ask:1:1~2",
            "step r1 ask",
        ];
        assert_eq!(names, expected);
        let most = CallCeiling { cost: PicoUsd(1), tokens: 1 };
        let refused = format!("{:?}", chain[2].refusal(30, Spent::default(), most));
        for words in ["the budget of agent `reviewer 2` is", "larger `budget_usd`"] {
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn tokens_are_links_where_they_are_limited() {
        let budgets = Budgets {
            step: Limit { usd: None, tokens: Some(100) },
            run: Limit { usd: None, tokens: Some(200) },
            tokens_above: vec![RunBudget { run: RunId::new("r0"), limit: 300, of: None }],
            ..budgets()
        };
        let chain = chain(&budgets, "2026-11-23T10:00:00Z");
        let of_tokens: Vec<_> =
            chain.iter().filter(|link| link.scope.unit == SpendUnit::Tokens).collect();
        let names: Vec<_> = of_tokens.iter().map(|link| link.scope.name.as_str()).collect();
        assert_eq!(names, ["tokens step r1 ask", "tokens run r1", "tokens run r0"]);
        let spent = Spent { spent: 120, reserved: 50 };
        let most = CallCeiling { cost: PicoUsd(1), tokens: 60 };
        let expected = "the budget of the run is 200 tokens: 120 are spent, 50 are reserved for other calls, \
                        and the next call may take 60; raise `budget` of the plan";
        assert_eq!(of_tokens[1].refusal(200, spent, most), Input::NoTokens(expected.to_owned()));
    }

    #[test]
    fn runs_without_a_repository_share_one_organisation() {
        for repo in [None, Some("shop".to_owned()), Some("/srv/shop".to_owned())] {
            let chain = chain(&Budgets { repo, ..budgets() }, "2026-11-23T00:00:00Z");
            assert_eq!(chain.last().unwrap().scope.name, "organisation - 2026-11");
        }
    }

    #[test]
    fn refusals_name_the_limit_and_the_remedy() {
        let chain = chain(&budgets(), "2026-11-23T10:00:00Z");
        let dollars = |dollars: f64| PicoUsd::from_usd(dollars).unwrap();
        let spent = Spent { spent: dollars(4.5).0, reserved: dollars(0.25).0 };
        let most = CallCeiling { cost: dollars(0.5), tokens: 7 };
        let refusal_of = |at: usize| match chain[at].refusal(dollars(5.0).0, spent, most) {
            Input::Unpaid(message) => message,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            refusal_of(4),
            "the budget of the workflow `Site \"A\"` in 2026-11 is $5.0000: $4.5000 are spent, $0.2500 are \
             reserved for other calls, and the next call may cost $0.5000; raise \
             `claude.workflow_budget_month` in the configuration of plue, or wait for the next month (UTC)"
        );
        for (at, words) in [
            (0, ["the budget of step `ask` is", "`budget` of the step"]),
            (1, ["the budget of the run is", "`budget` of the plan"]),
            (2, ["the budget of run r0, which started this one, is", "of the plan of run r0"]),
            (7, ["the repository acme/web/shop in 2026-11-23 is", "`claude.budget_day`"]),
            (9, ["the organisation acme in 2026-11-23 is", "`claude.organisation_budget_day`"]),
        ] {
            for word in words {
                assert!(refusal_of(at).contains(word), "{}", refusal_of(at));
            }
        }
    }
}
