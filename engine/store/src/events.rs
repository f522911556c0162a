//! Taking the events of attempts: each exactly once, in the order of their sequence, acknowledged
//! after the commit, and only from whoever holds the attempt.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plue_flow::AttemptStatus;
use plue_plan::RunnerId;
use plue_wire::runner::{AttemptEvent, Claim, EventKind};

use crate::{
    attempt::Held,
    changes::Shards,
    error::Error,
    log::LogStream,
    op::Op,
    sql::{Arg, Statement, Tx, insert_rows, placeholders},
    store::{Store, peer_time},
};

/// What became of the events of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Whose.
    pub claim: Claim,
    /// The last event that is stored; `None`: the claim is stale and nothing of it was stored.
    pub ack_seq: Option<u64>,
}

/// What the events of one attempt become.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Rows for `log_chunk`.
    pub(crate) chunks: Vec<Vec<Arg>>,
    /// Start and process id, if the process started.
    pub(crate) started: Option<(Timestamp, u32)>,
}

struct Append {
    /// The session that they came through, if it must still be the runner's last one.
    session: Option<(RunnerId, u64)>,
    batch: Vec<(Claim, Vec<AttemptEvent>)>,
}

/// Columns of [`Taken::chunks`].
const CHUNK_COLUMNS: usize = 10;

impl Store {
    /// Stores events of any number of attempts in one transaction. Events that are stored already and
    /// events behind a gap are left out; the answer tells per attempt how far it is complete.
    ///
    /// # Errors
    /// [`Error`] of the database; then nothing is stored.
    pub async fn append_events(
        &self,
        batch: Vec<(Claim, Vec<AttemptEvent>)>,
    ) -> Result<Vec<Appended>, Error> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let (appended, _) = self.write(Append { session: None, batch }).await?;
        Ok(appended)
    }

    /// The same for events that came through a session of a runner: nothing is stored, as if every claim
    /// were stale, once a newer session was told how much is stored.
    ///
    /// # Errors
    /// As [`Store::append_events`].
    pub async fn append_events_of(
        &self,
        (runner, epoch): (&RunnerId, u64),
        batch: Vec<(Claim, Vec<AttemptEvent>)>,
    ) -> Result<Vec<Appended>, Error> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let session = Some((runner.clone(), epoch));
        let (appended, _) = self.write(Append { session, batch }).await?;
        Ok(appended)
    }
}

impl Op for Append {
    type Out = (Vec<Appended>, Shards);
    const CHECKS_AGAIN: bool = true;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Out, Error> {
        let mut held = BTreeMap::new();
        for row in tx.fetch(self.read()).await? {
            let is_last = match &self.session {
                None => true,
                Some((_, epoch)) => row.opt_int(0)? == i64::try_from(*epoch).ok(),
            };
            if let Some(row) = Held::from_row(&row, 1)?.filter(|_| is_last) {
                held.insert(row.id.clone(), row);
            }
        }
        // The runner first, here as in every transaction that locks both.
        if let Some((runner, epoch)) = self.session.as_ref().filter(|_| !held.is_empty()) {
            lock_session(tx, runner, *epoch);
        }
        let mut appended = Vec::with_capacity(self.batch.len());
        let mut touched = Shards::NONE;
        for (claim, events) in &self.batch {
            let held = held.get_mut(&claim.attempt).filter(|held| held.is_held_by(claim));
            if let Some(held) = held {
                let before = held.ack_seq;
                let taken = take(held, events);
                if held.ack_seq > before {
                    touched = touched.with(Shards::of(&held.run));
                    tx.write_all(insert_chunks(taken.chunks));
                    tx.write(progress(held, before, taken.started));
                }
                appended.push(Appended { claim: claim.clone(), ack_seq: Some(held.ack_seq) });
            } else {
                appended.push(Appended { claim: claim.clone(), ack_seq: None });
            }
        }
        Ok((appended, touched))
    }

    fn touched(&self, (_, touched): &Self::Out) -> Shards {
        *touched
    }
}

impl Append {
    /// The attempts, each with the runner's session.
    fn read(&self) -> Statement {
        let runner = self.session.as_ref().map(|(runner, _)| runner.as_str().to_owned());
        let (columns, places) = (Held::COLUMNS, placeholders(2, self.batch.len()));
        let text = format!(
            "SELECT n.epoch, {columns} FROM attempt a LEFT JOIN runner n ON n.id = $1 \
             WHERE a.id IN ({places})"
        );
        let ids = self.batch.iter().map(|(claim, _)| Arg::from(claim.attempt.as_str()));
        Statement::new(text, std::iter::once(runner.into()).chain(ids).collect())
    }
}

/// No newer session begins before this transaction has ended.
fn lock_session(tx: &mut Tx<'_>, runner: &RunnerId, epoch: u64) {
    let text = "SELECT 1 FROM runner WHERE id = $1 AND epoch = $2 FOR NO KEY UPDATE";
    tx.still(Statement::new(text, vec![runner.as_str().into(), Arg::count(epoch)]));
}

/// Takes what continues the sequence and moves `held` on.
pub(crate) fn take(held: &mut Held, events: &[AttemptEvent]) -> Taken {
    let mut taken = Taken::default();
    for event in events {
        if !held.is_next(event.seq) {
            // Known already, or behind a gap: the runner sends it again.
            continue;
        }
        held.ack_seq = event.seq;
        let gap;
        let (stream, data) = match &event.kind {
            EventKind::Started { pid } => {
                held.state = AttemptStatus::Running;
                taken.started = Some((peer_time(event.at_us), *pid));
                continue;
            }
            EventKind::Stdout(bytes) => (LogStream::Stdout, bytes.0.as_slice()),
            EventKind::Stderr(bytes) => (LogStream::Stderr, bytes.0.as_slice()),
            EventKind::Gap { bytes, reason } => {
                gap = format!("{bytes} {reason}");
                (LogStream::Gap, gap.as_bytes())
            }
            EventKind::Note(text) => (LogStream::Note, text.as_bytes()),
            // Kept by the run that asked for it; the attendant answers the same call again.
            EventKind::Tool(_) => continue,
        };
        taken.chunks.push(chunk(held, event, stream, data));
    }
    taken
}

fn chunk(held: &mut Held, event: &AttemptEvent, stream: LogStream, data: &[u8]) -> Vec<Arg> {
    let (first_byte, first_line) = (held.log_bytes, held.log_newlines);
    if stream.is_output() {
        held.log_bytes += data.len() as u64;
        held.log_newlines += memchr::memchr_iter(b'\n', data).count() as u64;
    }
    vec![
        held.id.as_str().into(),
        Arg::count(event.seq),
        Arg::count(event.seq),
        event.at_us.into(),
        stream.as_str().into(),
        Arg::count(first_byte),
        Arg::count(held.log_bytes - first_byte),
        Arg::count(first_line),
        Arg::count(held.log_newlines - first_line),
        data.to_vec().into(),
    ]
}

pub(crate) fn insert_chunks(chunks: Vec<Vec<Arg>>) -> Vec<Statement> {
    insert_rows(
        "INSERT INTO log_chunk (attempt_id, first_seq, seq, at, stream, first_byte, bytes, \
         first_line, newlines, data) VALUES",
        CHUNK_COLUMNS,
        chunks,
        "",
    )
}

/// The write of an attempt that goes on.
fn progress(held: &Held, before: u64, started: Option<(Timestamp, u32)>) -> Statement {
    let mut args = vec![
        Arg::from(held.id.as_str()),
        Arg::count(held.fence.0),
        Arg::count(held.ack_seq),
        Arg::count(held.log_bytes),
        Arg::count(held.log_newlines),
        Arg::count(before),
    ];
    let text = match started {
        None => {
            "UPDATE attempt SET ack_seq = $3, log_bytes = $4, log_newlines = $5 \
             WHERE id = $1 AND fence = $2 AND ack_seq = $6 AND state IN ('assigned', 'running')"
        }
        Some((at, pid)) => {
            args.extend([at.into(), pid.into()]);
            "UPDATE attempt SET ack_seq = $3, log_bytes = $4, log_newlines = $5, \
             state = 'running', started_at = $7, pid = $8 \
             WHERE id = $1 AND fence = $2 AND ack_seq = $6 AND state IN ('assigned', 'running')"
        }
    };
    Statement::new(text, args).expect(1)
}

#[cfg(test)]
mod tests {
    use plue_plan::{AttemptId, RunId};
    use plue_wire::{eval::Bytes, runner::Fence};

    use super::*;

    fn held(ack_seq: u64) -> Held {
        Held {
            id: AttemptId::new("a"),
            run: RunId::new("r"),
            state: AttemptStatus::Assigned,
            fence: Fence(1),
            ack_seq,
            log_bytes: 10,
            log_newlines: 2,
        }
    }

    fn event(seq: u64, kind: EventKind) -> AttemptEvent {
        let claim = Claim { attempt: AttemptId::new("a"), fence: Fence(1) };
        AttemptEvent { claim, seq, at_us: 5, kind }
    }

    fn out(seq: u64, text: &str) -> AttemptEvent {
        event(seq, EventKind::Stdout(Bytes(text.as_bytes().to_vec())))
    }

    #[test]
    fn only_what_continues_the_sequence_is_taken() {
        let mut held = held(3);
        let sent =
            [out(2, "old"), out(4, "x\n"), out(4, "twice"), out(6, "behind a gap"), out(5, "y")];
        let taken = take(&mut held, &sent);
        assert_eq!(taken.chunks.len(), 2);
        assert_eq!((held.ack_seq, held.log_bytes, held.log_newlines), (5, 13, 3));
    }

    #[test]
    fn a_start_takes_a_number_and_no_row() {
        let mut held = held(0);
        let taken = take(&mut held, &[event(1, EventKind::Started { pid: 42 })]);
        assert!(taken.chunks.is_empty());
        assert_eq!(taken.started.map(|(at, pid)| (at.as_microsecond(), pid)), Some((5, 42)));
        assert_eq!((held.ack_seq, held.state), (1, AttemptStatus::Running));
    }

    #[test]
    fn remarks_take_no_room_in_the_log() {
        let mut held = held(0);
        let gap = EventKind::Gap { bytes: 1_000, reason: "cap\nreached".to_owned() };
        let taken = take(&mut held, &[event(1, EventKind::Note("a\nb".to_owned())), event(2, gap)]);
        assert_eq!(taken.chunks.len(), 2);
        assert_eq!((held.log_bytes, held.log_newlines), (10, 2));
    }

    #[test]
    fn nonsense_in_the_time_of_a_peer_stops_nothing() {
        let mut held = held(0);
        let mut start = event(1, EventKind::Started { pid: 1 });
        start.at_us = i64::MAX;
        let taken = take(&mut held, &[start]);
        assert_eq!(taken.started.map(|(at, _)| at), Some(Timestamp::UNIX_EPOCH));
    }
}
