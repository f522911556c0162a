//! Invariant 1: every row that shows a status can be made again from the journal, after each commit of
//! a run with a failure, a retry, a skipped step and a cancelled attempt.

use std::sync::Arc;

use plue_flow::{AttemptStatus, Effect, Fact, Input, Run, RunStatus, Transition, fact::Outcome};
use plue_plan::{AttemptId, Plan, RunnerId, canonical::HashedPlan};
use plue_store::{Assign, AttemptEnd, NewAttempt, RunCommit};
use plue_wire::runner::{Claim, EventKind};
use serde_json::json;

use crate::support::{World, at, event, new_run, success};

/// A run that is driven by hand, as the executor does it.
struct Driver<'w> {
    world: &'w World,
    run: Run,
    plan: Arc<Plan>,
    seq: u64,
    now: i64,
    epoch: u64,
    held: Vec<Claim>,
}

fn sealed() -> HashedPlan {
    let plan = json!({"version": 1, "name": "derived", "steps": [
        {"id": "a", "kind": "bash", "run": "true"},
        {"id": "b", "kind": "bash", "run": "false", "depends_on": ["a"], "on_failure": "skip",
         "retry": {"max_attempts": 2}},
        {"id": "c", "kind": "bash", "run": "false", "depends_on": ["a"]},
        {"id": "d", "kind": "bash", "run": "true", "depends_on": ["b", "c"]},
    ]});
    HashedPlan::new(Plan::from_json(plan.to_string().as_bytes()).unwrap()).unwrap()
}

impl<'w> Driver<'w> {
    async fn create(world: &'w World) -> Self {
        let sealed = sealed();
        world.store.plans().put(&sealed).await.unwrap();
        let new = new_run("r1", sealed.hash);
        let plan = Arc::new(sealed.plan);
        let mut run = Run::new(new.id.clone(), Arc::clone(&plan));
        let created = run.create(sealed.hash, Vec::new(), Vec::new());
        run.evolve(at(0), &created).unwrap();
        let mut first = RunCommit::new(new.id.clone(), 0, at(0), run.view());
        first.facts.push(created);
        first.steps = run.step_views().collect();
        world.store.runs().create(new, first).await.unwrap().unwrap();
        let epoch = world.runner("w1", Some(run.id())).await;
        Self { world, run, plan, seq: 1, now: 0, epoch, held: Vec::new() }
    }

    /// One input, one commit; then the comparison.
    async fn step(&mut self, input: Input, end: Option<AttemptEnd>) {
        self.now += 60;
        let Transition { facts, effects, touched } = self.run.apply(at(self.now), input).unwrap();
        let (id, view) = (self.run.id().clone(), self.run.view());
        let mut commit = RunCommit::new(id, self.seq, at(self.now), view);
        commit.facts = facts;
        commit.steps = touched.iter().filter_map(|step| self.run.step_view(step)).collect();
        commit.ends.extend(end.or_else(|| self.never_started(&commit.facts)));
        let (runner, epoch) = (RunnerId::new("w1"), self.epoch);
        commit.assign_to = Some(Assign { runner, epoch, max: 9 });
        for effect in effects {
            if let Effect::Perform { step, visit, number, attempt: id } = effect {
                let (pool, not_before) = ("local".to_owned(), at(self.now));
                let priority = 0;
                let new = NewAttempt { id, step, visit, number, pool, priority, not_before };
                commit.attempts.push(new);
            }
        }
        let committed = self.world.store.runs().commit(commit).await.unwrap().unwrap();
        self.seq = committed.seq;
        self.held.extend(committed.assigned);
        self.compare().await;
    }

    /// The flow has ended an attempt that a runner got but has not started.
    fn never_started(&self, facts: &[Fact]) -> Option<AttemptEnd> {
        let ended = facts.iter().find_map(|fact| match fact {
            Fact::AttemptEnded { attempt, .. } => Some(attempt),
            _ => None,
        })?;
        let claim = self.held.iter().find(|claim| claim.attempt == *ended)?;
        let status = AttemptStatus::Cancelled;
        Some(AttemptEnd { seq: None, status, outcome: Outcome::Cancelled, ..success(claim, 0) })
    }

    async fn start(&mut self, claim: &Claim) {
        let started = vec![event(claim, 1, EventKind::Started { pid: 1 })];
        self.world.store.journal().append(vec![(claim.clone(), started)]).await.unwrap();
        let runner = Some(RunnerId::new("w1"));
        self.step(
            Input::Started { attempt: claim.attempt.clone(), runner, began: None, name: None },
            None,
        )
        .await;
    }

    async fn end(&mut self, claim: &Claim, status: AttemptStatus, outcome: Outcome) {
        let end = AttemptEnd { status, outcome: outcome.clone(), ..success(claim, 2) };
        let (attempt, output) = (claim.attempt.clone(), json!({"size": 3}));
        self.step(Input::Ended { attempt, outcome, output }, Some(end)).await;
    }

    /// The attempt of this step that the runner got last.
    async fn claim_of(&self, step: &str) -> Claim {
        let rows =
            self.world.store.attempts().list(self.run.id(), Some(&step.into())).await.unwrap();
        rows.last().unwrap().claim.clone()
    }

    async fn compare(&self) {
        let (store, id) = (&self.world.store, self.run.id());
        let stored = store.runs().load(id).await.unwrap().unwrap();
        let again = Run::fold(id.clone(), Arc::clone(&self.plan), stored.journal).unwrap();
        assert_eq!(stored.run.view, again.view());
        let mut views: Vec<_> = again.step_views().collect();
        views.sort_by(|a, b| a.step.cmp(&b.step));
        let rows: Vec<_> =
            store.runs().steps(id).await.unwrap().into_iter().map(|row| row.view).collect();
        assert_eq!(rows, views);
        for row in store.attempts().list(id, None).await.unwrap() {
            let Some(view) = again.attempt(&row.claim.attempt) else { continue };
            // The journal does not know of assignments; they decide nothing.
            let known = match row.state {
                AttemptStatus::Assigned => AttemptStatus::Queued,
                state => state,
            };
            assert_eq!((row.visit, row.number, known), (view.visit, view.number, view.status));
        }
    }
}

on_each_store! {
    async fn every_status_row_is_what_the_journal_says(world) {
        let mut driver = Driver::create(&world).await;
        driver.step(Input::Start, None).await;
        let a = driver.claim_of("a").await;
        driver.start(&a).await;
        driver.end(&a, AttemptStatus::Done, Outcome::Success).await;
        let failed = Outcome::Exit { code: 1, signal: None };
        let b = driver.claim_of("b").await;
        driver.start(&b).await;
        driver.end(&b, AttemptStatus::Done, failed.clone()).await;
        driver.step(Input::Tick, None).await;
        let c = driver.claim_of("c").await;
        driver.start(&c).await;
        driver.step(Input::Cancel { by: "me".to_owned(), kill: false }, None).await;
        driver.end(&c, AttemptStatus::Done, Outcome::Cancelled).await;
        for row in world.store.attempts().claims_of(&RunnerId::new("w1")).await.unwrap() {
            driver.start(&row.claim).await;
            driver.end(&row.claim, AttemptStatus::Done, Outcome::Cancelled).await;
        }
        assert_eq!(driver.run.status(), RunStatus::Cancelled);
        assert!(driver.held.iter().any(|claim| claim.attempt == AttemptId::new(b.attempt.as_str())));
    }
}
