//! Everything that can happen in a state.

use plue_flow::{
    AttemptStatus,
    machine::attempt::{self, AttemptEvent},
};
use plue_wire::runner::{Fence, ResultVerdict};

use super::{
    guards::Guard,
    protocol::{
        Held, MAX_EPOCH, MAX_FENCE, Message, Protocol, RESULT, RUNNERS, START, State, TRIES, Try,
    },
};

type Moves = Vec<(String, State)>;

pub(crate) fn all(protocol: &Protocol, state: &State) -> Moves {
    let mut moves = Moves::new();
    for engine in 0..protocol.world.engines {
        engine_moves(protocol, state, engine, &mut moves);
    }
    for runner in 0..protocol.world.runners {
        runner_moves(protocol, state, runner, &mut moves);
    }
    for message in &state.net {
        let mut next = state.clone();
        next.deliver(protocol, *message);
        moves.push((format!("{message:?} comes"), next));
    }
    for (_, next) in &mut moves {
        next.prune(protocol);
    }
    moves.retain(|(_, next)| next != state);
    moves
}

fn engine_moves(protocol: &Protocol, state: &State, engine: usize, moves: &mut Moves) {
    let mut add = |label: String, change: &dyn Fn(&mut State)| {
        let mut next = state.clone();
        change(&mut next);
        moves.push((label, next));
    };
    let here = &state.engines[engine];
    if !here.pending.is_empty() {
        add(format!("engine {engine} commits events"), &|next| {
            next.commit_events(protocol, engine)
        });
    }
    for &(runner, attempt, fence) in &here.unsent {
        add(format!("engine {engine} sends fence {fence}"), &|next| {
            next.engines[engine].unsent.remove(&(runner, attempt, fence));
            if next.is_connected(engine, runner) {
                next.net.insert(Message::Assign { runner, attempt, fence });
            }
        });
    }
    for &(runner, attempt, fence) in &here.planned {
        add(format!("engine {engine} commits fence {fence} after sending it"), &|next| {
            next.engines[engine].planned.remove(&(runner, attempt, fence));
            if next.tries[attempt].hold.state == AttemptStatus::Queued && next.next_fence == fence {
                next.assign(runner, attempt);
            }
        });
    }
    for runner in 0..protocol.world.runners {
        if may_claim(protocol, state, engine, runner) {
            let attempt = state.tries.len() - 1;
            add(format!("engine {engine} claims for runner {runner}"), &|next| {
                next.claim(protocol, engine, runner, attempt);
            });
        }
        let session = here.sessions[runner];
        if session != 0 && !state.is_connected(engine, runner) {
            add(format!("engine {engine} sees that runner {runner} is away"), &|next| {
                next.forget_session(engine, runner);
            });
        }
        let gone = state.rows[runner].gone;
        // Both are alike.
        let is_first = runner == 0;
        if is_first && !gone && state.left.give_ups > 0 && state.rows[runner].epoch > 0 {
            add(format!("engine {engine} gives runner {runner} up"), &|next| {
                next.left.give_ups -= 1;
                next.rows[runner].gone = true;
                next.engines[engine].giving_up[runner] = true;
            });
        }
        let knows = here.giving_up[runner] || protocol.has(Guard::Orphans);
        if gone && knows && state.has_attempts(runner) {
            add(format!("engine {engine} settles what runner {runner} had"), &|next| {
                next.settle(protocol, runner);
            });
        }
    }
    if state.left.engine_deaths > 0 {
        add(format!("engine {engine} dies"), &|next| next.engine_dies(engine));
    }
}

fn may_claim(protocol: &Protocol, state: &State, engine: usize, runner: usize) -> bool {
    let session = state.engines[engine].sessions[runner];
    let row = state.rows[runner];
    let last = &state.tries[state.tries.len() - 1];
    let is_queued = last.hold.state == AttemptStatus::Queued
        || (!protocol.has(Guard::ClaimOnce) && last.hold.state == AttemptStatus::Assigned);
    session != 0
        && state.next_fence <= MAX_FENCE
        && (row.epoch == session || !protocol.has(Guard::ClaimEpoch))
        && !row.gone
        && is_queued
}

fn runner_moves(protocol: &Protocol, state: &State, runner: usize, moves: &mut Moves) {
    let mut add = |label: String, change: &dyn Fn(&mut State)| {
        let mut next = state.clone();
        change(&mut next);
        moves.push((label, next));
    };
    let here = &state.runners[runner];
    if here.session.is_none() {
        // All are alike: the first of each goes first.
        let begun = state.rows[0].epoch > 0;
        let engines = if begun { protocol.world.engines } else { usize::from(runner == 0) };
        for engine in 0..engines {
            add(format!("runner {runner} dials in to engine {engine}"), &|next| {
                next.connect(protocol, engine, runner);
            });
        }
    }
    if here.held.is_some_and(|held| !held.is_dead && held.produced < RESULT) {
        add(format!("runner {runner} goes on"), &|next| {
            if let Some(held) = &mut next.runners[runner].held {
                held.produced += 1;
            }
            next.send_events(runner);
        });
    }
    if here.session.is_some() && state.left.breaks > 0 {
        add(format!("the connection of runner {runner} breaks"), &|next| {
            next.left.breaks -= 1;
            next.disconnect(runner);
        });
    }
    if state.left.runner_deaths > 0 && state.rows[runner].epoch > 0 {
        add(format!("runner {runner} dies"), &|next| {
            next.left.runner_deaths -= 1;
            next.disconnect(runner);
            if let Some(held) = &mut next.runners[runner].held
                && held.produced < RESULT
            {
                held.is_dead = true;
            }
        });
    }
}

/// The flow's table; what it does not list must not be asked for.
fn moved(from: AttemptStatus, event: AttemptEvent) -> AttemptStatus {
    attempt::next(from, event).expect("a listed transition")
}

// === impl State: the store ===

impl State {
    pub(crate) fn assign(&mut self, runner: usize, attempt: usize) -> u64 {
        let fence = self.next_fence;
        self.next_fence += 1;
        let one = &mut self.tries[attempt];
        if one.hold.state == AttemptStatus::Queued {
            one.hold.state = moved(one.hold.state, AttemptEvent::Assign);
        }
        (one.hold.fence, one.runner) = (Fence(fence), Some(runner));
        fence
    }

    fn claim(&mut self, protocol: &Protocol, engine: usize, runner: usize, attempt: usize) {
        if protocol.has(Guard::CommitBeforeAssign) {
            let fence = self.assign(runner, attempt);
            self.engines[engine].unsent.insert((runner, attempt, fence));
        } else {
            let fence = self.next_fence;
            self.engines[engine].planned.insert((runner, attempt, fence));
            if self.is_connected(engine, runner) {
                self.net.insert(Message::Assign { runner, attempt, fence });
            }
        }
    }

    fn take(&mut self, protocol: &Protocol, attempt: usize, fence: u64, seq: u64) {
        let one = &mut self.tries[attempt];
        if !protocol.takes(&one.hold, fence, seq) {
            return;
        }
        if one.hold.state == AttemptStatus::Assigned && seq == START {
            one.hold.state = moved(one.hold.state, AttemptEvent::Start);
        }
        one.log.push((fence, seq));
        one.hold.ack_seq = one.hold.ack_seq.max(seq);
    }

    fn commit_events(&mut self, protocol: &Protocol, engine: usize) {
        for (runner, attempt, fence, seq) in std::mem::take(&mut self.engines[engine].pending) {
            let is_last = self.rows[runner].epoch == self.engines[engine].sessions[runner];
            if is_last || !protocol.has(Guard::EventEpoch) {
                self.take(protocol, attempt, fence, seq);
            }
            if !self.is_connected(engine, runner) {
                continue;
            }
            let hold = self.tries[attempt].hold;
            self.net.insert(if hold.is_by(Fence(fence)) {
                Message::Ack { runner, attempt, fence, seq: hold.ack_seq }
            } else {
                Message::Verdict { runner, attempt, fence, keeps: false }
            });
        }
    }

    /// The process is gone: the attempt is queued again if it had not begun, and lost otherwise.
    fn lose(&mut self, protocol: &Protocol, attempt: usize) {
        let one = &mut self.tries[attempt];
        match one.hold.state {
            AttemptStatus::Assigned => {
                one.hold.state = moved(one.hold.state, AttemptEvent::Requeue);
                one.runner = None;
                if protocol.has(Guard::RequeueForgets) {
                    (one.hold.fence, one.hold.ack_seq) = (Fence(0), 0);
                    one.log.clear();
                }
            }
            AttemptStatus::Running => {
                one.hold.state = moved(one.hold.state, AttemptEvent::Lose);
                one.results += 1;
                if self.tries.len() < TRIES {
                    self.tries.push(Try::queued());
                }
            }
            _ => {}
        }
    }

    fn settle(&mut self, protocol: &Protocol, runner: usize) {
        for attempt in 0..self.tries.len() {
            if self.tries[attempt].runner == Some(runner) {
                self.lose(protocol, attempt);
            }
        }
        for engine in &mut self.engines {
            engine.giving_up[runner] = false;
        }
    }

    fn has_attempts(&self, runner: usize) -> bool {
        let is_held = |state| matches!(state, AttemptStatus::Assigned | AttemptStatus::Running);
        self.tries.iter().any(|one| one.runner == Some(runner) && is_held(one.hold.state))
    }

    fn take_result(
        &mut self,
        protocol: &Protocol,
        engine: usize,
        (runner, attempt, fence, seq): (usize, usize, u64, u64),
        infra: bool,
    ) {
        let mine = |entry: &(usize, usize, u64, u64)| (entry.1, entry.2) == (attempt, fence);
        let tail: Vec<_> = self.engines[engine].pending.iter().copied().filter(mine).collect();
        // All or nothing: a result that is refused leaves its tail unstored too.
        let before = self.tries[attempt].clone();
        for (_, _, _, seq) in &tail {
            self.take(protocol, attempt, fence, *seq);
        }
        let verdict = protocol.verdict(&self.tries[attempt].hold, fence, seq);
        match verdict {
            ResultVerdict::Recorded if infra => self.lose(protocol, attempt),
            ResultVerdict::Recorded => {
                let one = &mut self.tries[attempt];
                if !one.hold.state.is_terminal() {
                    one.hold.state = moved(one.hold.state, AttemptEvent::Finish);
                }
                (one.hold.ack_seq, one.by) = (seq, Some(fence));
                one.results += 1;
            }
            ResultVerdict::Duplicate | ResultVerdict::Fenced | ResultVerdict::Need(_) => {
                self.tries[attempt] = before;
            }
        }
        self.engines[engine].pending.retain(|entry| !mine(entry));
        let keeps = matches!(verdict, ResultVerdict::Need(_));
        if self.is_connected(engine, runner) {
            self.net.insert(Message::Verdict { runner, attempt, fence, keeps });
        }
    }
}

// === impl State: connections ===

impl State {
    fn is_connected(&self, engine: usize, runner: usize) -> bool {
        self.runners[runner].session == Some((engine, self.engines[engine].sessions[runner]))
    }

    /// Hello, Welcome, Ready.
    fn connect(&mut self, protocol: &Protocol, engine: usize, runner: usize) {
        if self.rows[runner].gone {
            // It is sent away and forgets.
            self.runners[runner].held = None;
            return;
        }
        if self.rows[runner].epoch == MAX_EPOCH {
            return;
        }
        self.forget_session(engine, runner);
        self.rows[runner].epoch += 1;
        let epoch = self.rows[runner].epoch;
        self.engines[engine].sessions[runner] = epoch;
        self.runners[runner].session = Some((engine, epoch));
        if let Some(held) = &mut self.runners[runner].held {
            let hold = &self.tries[held.attempt].hold;
            if hold.is_by(Fence(held.fence)) {
                held.dropped = held.dropped.max(hold.ack_seq.min(held.produced));
                if held.is_dead {
                    held.infra = Some(hold.ack_seq + 1);
                }
            } else {
                self.runners[runner].held = None;
            }
        }
        self.square(protocol, engine, runner);
        self.send_events(runner);
    }

    /// What the store says that the runner has, and what it holds.
    fn square(&mut self, protocol: &Protocol, engine: usize, runner: usize) {
        for attempt in 0..self.tries.len() {
            let (hold, owner) = (self.tries[attempt].hold, self.tries[attempt].runner);
            let fence = hold.fence.0;
            let held = self.runners[runner].held;
            let holds = held.is_some_and(|held| (held.attempt, held.fence) == (attempt, fence));
            if owner != Some(runner) || holds {
                continue;
            }
            match hold.state {
                AttemptStatus::Assigned if protocol.has(Guard::AssignAgain) => {
                    self.engines[engine].unsent.insert((runner, attempt, fence));
                }
                AttemptStatus::Running => self.lose(protocol, attempt),
                _ => {}
            }
        }
    }

    /// Everything that is not acknowledged is on its way.
    fn send_events(&mut self, runner: usize) {
        let (Some((engine, epoch)), Some(held)) =
            (self.runners[runner].session, self.runners[runner].held)
        else {
            return;
        };
        let Held { attempt, fence, .. } = held;
        let last = if held.is_dead { 0 } else { held.produced };
        for seq in held.dropped + 1..=last {
            self.net.insert(if seq == RESULT {
                Message::Result { engine, runner, epoch, attempt, fence, seq, infra: false }
            } else {
                Message::Event { engine, runner, epoch, attempt, fence, seq }
            });
        }
        if let Some(seq) = held.infra {
            self.net.insert(Message::Result {
                engine,
                runner,
                epoch,
                attempt,
                fence,
                seq,
                infra: true,
            });
        }
    }

    /// The runner's end is closed: nothing reaches it. What it has sent may still come.
    fn disconnect(&mut self, runner: usize) {
        self.runners[runner].session = None;
        self.net.retain(|message| match message {
            Message::Assign { runner: to, .. }
            | Message::Ack { runner: to, .. }
            | Message::Verdict { runner: to, .. } => *to != runner,
            Message::Event { .. } | Message::Result { .. } => true,
        });
    }

    /// The engine's end is closed.
    fn forget_session(&mut self, engine: usize, runner: usize) {
        let here = &mut self.engines[engine];
        here.sessions[runner] = 0;
        here.pending.retain(|(from, ..)| *from != runner);
        here.unsent.retain(|(to, ..)| *to != runner);
        self.net.retain(|message| match message {
            Message::Event { engine: to, runner: from, .. }
            | Message::Result { engine: to, runner: from, .. } => (*to, *from) != (engine, runner),
            Message::Assign { .. } | Message::Ack { .. } | Message::Verdict { .. } => true,
        });
    }

    /// Drops messages that can change nothing any more.
    fn prune(&mut self, protocol: &Protocol) {
        let mut net = std::mem::take(&mut self.net);
        net.retain(|message| match *message {
            Message::Assign { runner, attempt, fence } => {
                !protocol.has(Guard::LastFence) || fence > self.runners[runner].taken[attempt]
            }
            Message::Ack { runner, attempt, fence, seq } => {
                let held = self.runners[runner].held;
                held.is_some_and(|held| {
                    (held.attempt, held.fence) == (attempt, fence) && held.dropped < seq
                })
            }
            Message::Verdict { runner, attempt, fence, keeps } => {
                let held = self.runners[runner].held;
                !keeps && held.is_some_and(|held| (held.attempt, held.fence) == (attempt, fence))
            }
            Message::Event { engine, runner, epoch, .. }
            | Message::Result { engine, runner, epoch, .. } => {
                self.engines[engine].sessions[runner] == epoch
            }
        });
        self.net = net;
    }

    fn engine_dies(&mut self, engine: usize) {
        self.left.engine_deaths -= 1;
        for runner in 0..RUNNERS {
            if self.is_connected(engine, runner) {
                self.disconnect(runner);
            }
            self.forget_session(engine, runner);
        }
        self.engines[engine] = Default::default();
    }

    /// A message comes; it may come again.
    fn deliver(&mut self, protocol: &Protocol, message: Message) {
        match message {
            Message::Assign { runner, attempt, fence } => {
                let here = &mut self.runners[runner];
                let is_held =
                    here.held.is_some_and(|held| (held.attempt, held.fence) == (attempt, fence));
                if protocol.has(Guard::LastFence) && (is_held || fence <= here.taken[attempt]) {
                    return;
                }
                here.taken[attempt] = here.taken[attempt].max(fence);
                let (produced, dropped) = (0, 0);
                let held = Held { attempt, fence, produced, dropped, infra: None, is_dead: false };
                here.held = Some(held);
                let ran = &mut self.ran[usize::try_from(fence).unwrap_or(0)];
                *ran = (*ran + 1).min(2);
            }
            Message::Ack { runner, attempt, fence, seq } => {
                if let Some(held) = &mut self.runners[runner].held
                    && (held.attempt, held.fence) == (attempt, fence)
                {
                    held.dropped = held.dropped.max(seq.min(held.produced));
                }
            }
            Message::Verdict { runner, attempt, fence, keeps } => {
                let here = &mut self.runners[runner];
                let is_it = |held: Held| (held.attempt, held.fence) == (attempt, fence);
                if !keeps && here.held.is_some_and(is_it) {
                    here.held = None;
                }
            }
            Message::Event { engine, runner, epoch, attempt, fence, seq } => {
                if self.engines[engine].sessions[runner] != epoch {
                    return;
                }
                if !protocol.has(Guard::AckAfterCommit) && self.is_connected(engine, runner) {
                    self.net.insert(Message::Ack { runner, attempt, fence, seq });
                }
                self.engines[engine].pending.insert((runner, attempt, fence, seq));
            }
            Message::Result { engine, runner, epoch, attempt, fence, seq, infra } => {
                if self.engines[engine].sessions[runner] == epoch {
                    self.take_result(protocol, engine, (runner, attempt, fence, seq), infra);
                }
            }
        }
    }
}
