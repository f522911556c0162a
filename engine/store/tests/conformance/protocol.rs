//! Runners, engines and a network that repeats, reorders and delays, at random; against a reference
//! that knows nothing of tables. Whatever happens: only the holder writes, every event once and in
//! order, one end per attempt, and nothing ends before its events are stored.

use plue_flow::{AttemptStatus, Fact, RunStatus, fact::Outcome};
use plue_plan::{AttemptId, RunId, RunnerId};
use plue_store::{AttemptEnd, LogRange, Refused};
use plue_wire::runner::{Claim, Fence, ResultVerdict};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::support::{World, at, commit, new_attempt, stdout, success};

/// What happens next. Runner numbers are taken modulo the number of assignments so far.
#[derive(Debug, Clone)]
enum Act {
    /// The engine gives the attempt to a fresh runner, if it is queued.
    Claim,
    /// The runner of some assignment, perhaps long gone, sends events `from..=to`.
    Send { holder: usize, from: u64, to: u64 },
    /// It sends its result behind so many events, with the last ones in the tail.
    Result { holder: usize, events: u64, tail_from: u64 },
    /// The engine believes that the runner is lost and queues the attempt again.
    Requeue,
    /// The engine gives up the attempt.
    Lose,
    /// The engine cancels the attempt if it is queued.
    Cancel,
}

/// The reference.
struct Model {
    state: AttemptStatus,
    fence: Option<Fence>,
    events: u64,
    log: Vec<u8>,
    seq: u64,
}

/// The bytes that every runner prints as event `seq`.
fn text(seq: u64) -> Vec<u8> {
    format!("line {seq}\n").into_bytes()
}

impl Model {
    fn holds(&self, fence: Fence) -> bool {
        let active = matches!(self.state, AttemptStatus::Assigned | AttemptStatus::Running);
        active && self.fence == Some(fence)
    }

    fn take(&mut self, from: u64, to: u64) {
        for seq in from..=to {
            if seq == self.events + 1 {
                self.events = seq;
                self.log.extend(text(seq));
            }
        }
    }

    fn verdict(&self, fence: Fence, seq: u64, from: u64) -> ResultVerdict {
        if self.holds(fence) {
            let tail_fits = from <= self.events + 1;
            let known = if tail_fits { self.events.max(seq - 1) } else { self.events };
            return match known + 1 {
                next if next == seq => ResultVerdict::Recorded,
                next if next < seq => ResultVerdict::Need(next),
                _ => ResultVerdict::Fenced,
            };
        }
        let same = self.state == AttemptStatus::Done && self.fence == Some(fence);
        if same && self.events == seq { ResultVerdict::Duplicate } else { ResultVerdict::Fenced }
    }
}

fn act() -> impl Strategy<Value = Act> {
    let send = (0_usize..3, 1_u64..7, 0_u64..4).prop_map(|(holder, from, more)| Act::Send {
        holder,
        from,
        to: from + more,
    });
    let result = (0_usize..3, 0_u64..7, 1_u64..7)
        .prop_map(|(holder, events, tail_from)| Act::Result { holder, events, tail_from });
    prop_oneof![
        5 => Just(Act::Claim),
        8 => send,
        3 => result,
        4 => Just(Act::Requeue),
        1 => Just(Act::Lose),
        1 => Just(Act::Cancel),
    ]
}

/// One history of one attempt.
struct History<'w> {
    world: &'w World,
    case: usize,
    run: RunId,
    attempt: AttemptId,
    /// Every assignment there ever was; all but the last are zombies.
    claims: Vec<Claim>,
    model: Model,
}

impl<'w> History<'w> {
    async fn start(world: &'w World, case: usize) -> Self {
        let run = world.created(&format!("r{case}")).await;
        let attempt = AttemptId::new(format!("a{case}"));
        let mut next = commit(&run, 1, RunStatus::Running);
        next.facts.push(Fact::RunStarted);
        next.attempts.push(new_attempt(attempt.as_str()));
        world.store.runs().commit(next).await.unwrap().unwrap();
        let state = AttemptStatus::Queued;
        let model = Model { state, fence: None, events: 0, log: Vec::new(), seq: 2 };
        Self { world, case, run, attempt, claims: Vec::new(), model }
    }

    fn holder(&self, number: usize) -> Option<Claim> {
        let last = self.claims.len().checked_sub(1)?;
        self.claims.get(number.min(last)).cloned()
    }

    async fn act(&mut self, act: &Act) {
        match act {
            Act::Claim => self.claim().await,
            Act::Send { holder, from, to } => self.send(*holder, *from, *to).await,
            Act::Result { holder, events, tail_from } => {
                self.result(*holder, *events, *tail_from).await;
            }
            Act::Requeue => self.requeue().await,
            Act::Lose => self.lose().await,
            Act::Cancel => self.cancel().await,
        }
        self.compare().await;
    }

    async fn claim(&mut self) {
        let name = format!("w{}-{}", self.case, self.claims.len());
        let epoch = self.world.runner(&name, Some(&self.run)).await;
        let runner = RunnerId::new(name);
        let got = self.world.store.attempts().claim(&runner, epoch, 1, at(10)).await.unwrap();
        assert_eq!(got.len(), usize::from(self.model.state == AttemptStatus::Queued));
        if let Some(one) = got.first() {
            let last = self.claims.last().map_or(Fence(0), |claim| claim.fence);
            assert!(one.claim.fence > last);
            self.model.state = AttemptStatus::Assigned;
            self.model.fence = Some(one.claim.fence);
            self.claims.push(one.claim.clone());
        }
    }

    async fn send(&mut self, holder: usize, from: u64, to: u64) {
        let Some(claim) = self.holder(holder) else { return };
        let events = (from..=to).map(|seq| stdout(&claim, seq, &text(seq))).collect();
        let answer =
            self.world.store.journal().append(vec![(claim.clone(), events)]).await.unwrap();
        let holds = self.model.holds(claim.fence);
        if holds {
            self.model.take(from, to);
        }
        assert_eq!(answer[0].ack_seq, holds.then_some(self.model.events));
    }

    async fn result(&mut self, holder: usize, events: u64, tail_from: u64) {
        let Some(claim) = self.holder(holder) else { return };
        let seq = events + 1;
        let mut end = success(&claim, seq);
        end.tail = (tail_from..seq).map(|seq| stdout(&claim, seq, &text(seq))).collect();
        let verdict = self.model.verdict(claim.fence, seq, tail_from.min(seq));
        let answer = self.end(end).await;
        if verdict == ResultVerdict::Recorded {
            self.model.take(tail_from, events);
            self.model.events = seq;
            self.model.state = AttemptStatus::Done;
            answer.unwrap();
        } else {
            assert_eq!(answer, Err(Refused::Result { claim, verdict }));
        }
    }

    async fn end(&mut self, end: AttemptEnd) -> Result<(), Refused> {
        let mut next = commit(&self.run, self.model.seq, RunStatus::Running);
        next.facts.push(Fact::RunStarted);
        next.ends.push(end);
        self.world.store.runs().commit(next).await.unwrap()?;
        self.model.seq += 1;
        Ok(())
    }

    async fn requeue(&mut self) {
        let Some(claim) = self.claims.last().cloned() else { return };
        let mut next = commit(&self.run, self.model.seq, RunStatus::Running);
        next.requeue.push(claim.clone());
        let answer = self.world.store.runs().commit(next).await.unwrap();
        assert_eq!(answer.is_ok(), self.model.holds(claim.fence));
        if answer.is_ok() {
            let (state, seq) = (AttemptStatus::Queued, self.model.seq);
            self.model = Model { state, fence: None, events: 0, log: Vec::new(), seq };
        }
    }

    async fn lose(&mut self) {
        let Some(claim) = self.claims.last().cloned() else { return };
        let holds = self.model.holds(claim.fence);
        let outcome = Outcome::Infra { message: "gone".to_owned() };
        let lost =
            AttemptEnd { seq: None, status: AttemptStatus::Lost, outcome, ..success(&claim, 0) };
        assert_eq!(self.end(lost).await.is_ok(), holds);
        if holds {
            self.model.state = AttemptStatus::Lost;
        }
    }

    async fn cancel(&mut self) {
        let mut next = commit(&self.run, self.model.seq, RunStatus::Running);
        next.cancels.push(self.attempt.clone());
        let answer = self.world.store.runs().commit(next).await.unwrap();
        let queued = self.model.state == AttemptStatus::Queued;
        assert_eq!(answer.is_ok(), queued);
        if queued {
            self.model.state = AttemptStatus::Cancelled;
        }
    }

    async fn compare(&self) {
        let store = &self.world.store;
        let row = store.attempts().get(&self.attempt).await.unwrap().unwrap();
        assert_eq!((row.state, row.ack_seq), (self.model.state, self.model.events));
        assert_eq!(
            row.outcome.is_some(),
            matches!(row.state, AttemptStatus::Done | AttemptStatus::Lost)
        );
        assert_eq!(row.log_bytes, self.model.log.len() as u64);
        let pieces = store.logs().read(&self.attempt, LogRange::After(0, u64::MAX)).await.unwrap();
        let numbers: Vec<u64> = pieces.iter().map(|piece| piece.seq).collect();
        assert_eq!(
            numbers,
            (1..=numbers.len() as u64).collect::<Vec<_>>(),
            "no gap, nothing twice"
        );
        let log: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.bytes).collect();
        assert_eq!(log, self.model.log);
        assert_eq!(store.runs().get(&self.run).await.unwrap().unwrap().seq, self.model.seq);
    }
}

on_each_store! {
    async fn no_history_breaks_the_protocol(world) {
        let config = Config { cases: 48, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
        let case = std::cell::Cell::new(0);
        let acts = prop::collection::vec(act(), 1..40);
        let run = TestRunner::new(config).run(&acts, |acts| {
            case.set(case.get() + 1);
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    let mut history = History::start(&world, case.get()).await;
                    for act in &acts {
                        history.act(act).await;
                    }
                });
            });
            Ok(())
        });
        run.unwrap();
    }
}
