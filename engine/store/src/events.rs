//! Storing the events of attempts: each exactly once, in the order of their sequence, acknowledged
//! after the commit, and only from the owner of the attempt.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plue_flow::AttemptStatus;
use plue_plan::RunnerId;
use plue_wire::runner::{AttemptEvent, Claim, EventKind};

use crate::{
    attempt::Held,
    changes::Shards,
    error::Error,
    handles::Journal,
    log::{LogPiece, LogStream},
    op::Op,
    sql::{Arg, Statement, Tx, insert_rows, placeholders},
    store::peer_time,
};

/// Progress of one attempt after its events were stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    pub claim: Claim,
    /// The last event that is stored; `None`: the claim is stale and nothing of it was stored.
    pub ack_seq: Option<u64>,
}

/// Rows that the events of one attempt become.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Rows for `log_chunk`.
    pub(crate) chunks: Vec<Vec<Arg>>,
    /// Start and process id, if the process started.
    pub(crate) started: Option<(Timestamp, u32)>,
}

/// Text and events of one attempt, in the order in which they are stored.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) claim: Claim,
    /// Pieces of the engine, with the numbers under which they are shown. Those that are stored already
    /// are left out.
    pub(crate) texts: Vec<LogPiece>,
    /// Events of the runner, behind the texts.
    pub(crate) events: Vec<AttemptEvent>,
    /// Whether the pieces that the events became are wanted back.
    pub(crate) wants_pieces: bool,
}

/// The outcome of storing a [`Part`].
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// The attempt behind it; none: the claim is stale and nothing was stored.
    pub(crate) held: Option<Held>,
    /// The pieces that events became, if they were wanted back.
    pub(crate) pieces: Vec<LogPiece>,
}

/// Stores parts of any number of attempts.
pub(crate) struct Append {
    /// The session that events came through, if it must still be the runner's last one.
    pub(crate) session: Option<(RunnerId, u64)>,
    pub(crate) parts: Vec<Part>,
}

/// Columns of [`Taken::chunks`].
const CHUNK_COLUMNS: usize = 10;

impl Journal<'_> {
    /// Stores events of any number of attempts in one transaction. Events that are stored already
    /// and events after a gap are left out; the answer has the last stored event per attempt.
    ///
    /// # Errors
    /// [`Error`] of the database; then nothing is stored.
    pub async fn append(
        self,
        batch: Vec<(Claim, Vec<AttemptEvent>)>,
    ) -> Result<Vec<Appended>, Error> {
        self.store.open_logs().append_in_order(None, batch).await
    }

    /// The same for events that came through a session of a runner: nothing is stored, as if every
    /// claim were stale, once a newer session has the number of stored events.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn append_of(
        self,
        (runner, epoch): (&RunnerId, u64),
        batch: Vec<(Claim, Vec<AttemptEvent>)>,
    ) -> Result<Vec<Appended>, Error> {
        self.store.open_logs().append_in_order(Some((runner.clone(), epoch)), batch).await
    }
}

impl Op for Append {
    type Out = (Vec<Stored>, Shards);
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
        let mut stored = Vec::with_capacity(self.parts.len());
        let mut touched = Shards::NONE;
        let (mut chunks, mut moved) = (Vec::new(), Vec::new());
        // One statement moves each attempt once.
        let are_many = self.parts.len() > 1 && held.len() == self.parts.len();
        for part in &self.parts {
            let held = held.get_mut(&part.claim.attempt);
            let Some(held) = held.filter(|held| held.is_held_by(&part.claim)) else {
                stored.push(Stored { held: None, pieces: Vec::new() });
                continue;
            };
            let before = (held.ack_seq, held.log_seq);
            let mut pieces = part.wants_pieces.then(Vec::new);
            let mut taken = take_texts(held, &part.texts);
            let of_events = take_into(held, &part.events, pieces.as_mut());
            taken.chunks.extend(of_events.chunks);
            if (held.ack_seq, held.log_seq) != before {
                touched = touched.with(Shards::of(&held.run));
                chunks.extend(taken.chunks);
                match of_events.started {
                    None if are_many => moved.push((held.clone(), before)),
                    started => tx.write(progress(held, before, started)),
                }
            }
            let pieces = pieces.unwrap_or_default();
            stored.push(Stored { held: Some(held.clone()), pieces });
        }
        tx.write_all(insert_chunks(chunks));
        tx.write_all(progress_of_many(&moved));
        Ok((stored, touched))
    }

    fn touched(&self, (_, touched): &Self::Out) -> Shards {
        *touched
    }
}

impl Append {
    /// The attempts, each with the runner's session.
    fn read(&self) -> Statement {
        let runner = self.session.as_ref().map(|(runner, _)| runner.as_str().to_owned());
        let (columns, places) = (Held::COLUMNS, placeholders(2, self.parts.len()));
        let text = format!(
            "SELECT n.epoch, {columns} FROM attempt a LEFT JOIN runner n ON n.id = $1 \
             WHERE a.id IN ({places})"
        );
        let ids = self.parts.iter().map(|part| Arg::from(part.claim.attempt.as_str()));
        Statement::new(text, std::iter::once(runner.into()).chain(ids).collect())
    }
}

/// No newer session begins before this transaction has ended.
fn lock_session(tx: &mut Tx<'_>, runner: &RunnerId, epoch: u64) {
    let text = "SELECT 1 FROM runner WHERE id = $1 AND epoch = $2 FOR NO KEY UPDATE";
    tx.still(Statement::new(text, vec![runner.as_str().into(), Arg::count(epoch)]));
}

/// Takes the pieces of the engine that are not stored yet and moves `held` on.
fn take_texts(held: &mut Held, texts: &[LogPiece]) -> Taken {
    let mut taken = Taken::default();
    for text in texts {
        // A commit whose answer was lost is tried again.
        if text.seq > held.log_seq {
            held.log_seq = text.seq;
            let row = chunk(held, (text.seq, text.at.as_microsecond()), text.stream, &text.bytes);
            taken.chunks.push(row);
        }
    }
    taken
}

/// The writes of the pieces of the engine that are not stored yet.
pub(crate) fn text_writes(held: &mut Held, texts: &[LogPiece]) -> Vec<Statement> {
    let before = (held.ack_seq, held.log_seq);
    let taken = take_texts(held, texts);
    if taken.chunks.is_empty() {
        return Vec::new();
    }
    let mut writes = insert_chunks(taken.chunks);
    writes.push(progress(held, before, None));
    writes
}

/// Takes what continues the sequence and moves `held` on.
pub(crate) fn take(held: &mut Held, events: &[AttemptEvent]) -> Taken {
    take_into(held, events, None)
}

/// The same; copies the pieces that the events become.
fn take_into(
    held: &mut Held,
    events: &[AttemptEvent],
    mut pieces: Option<&mut Vec<LogPiece>>,
) -> Taken {
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
        // Behind what the engine has added, if it has added anything.
        let seq = if held.log_seq == 0 { event.seq } else { held.log_seq + 1 };
        if held.log_seq > 0 {
            held.log_seq = seq;
        }
        if let Some(pieces) = &mut pieces {
            pieces.push(LogPiece {
                seq,
                at: peer_time(event.at_us),
                stream,
                first_byte: held.log_bytes,
                first_line: held.log_newlines,
                bytes: data.to_vec(),
            });
        }
        taken.chunks.push(chunk(held, (seq, event.at_us), stream, data));
    }
    taken
}

fn chunk(held: &mut Held, (seq, at_us): (u64, i64), stream: LogStream, data: &[u8]) -> Vec<Arg> {
    let (first_byte, first_line) = (held.log_bytes, held.log_newlines);
    if stream.is_output() {
        held.log_bytes += data.len() as u64;
        held.log_newlines += memchr::memchr_iter(b'\n', data).count() as u64;
    }
    vec![
        held.id.as_str().into(),
        Arg::count(seq),
        Arg::count(seq),
        at_us.into(),
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

/// The writes of attempts that go on, each with its last event and its last piece before.
fn progress_of_many(moved: &[(Held, (u64, u64))]) -> Vec<Statement> {
    const COLUMNS: usize = 8;
    let rows = moved.iter().map(|(held, (events, pieces))| {
        vec![
            Arg::from(held.id.as_str()),
            Arg::count(held.fence.0),
            Arg::count(held.ack_seq),
            Arg::count(held.log_bytes),
            Arg::count(held.log_newlines),
            Arg::count(held.log_seq),
            Arg::count(*events),
            Arg::count(*pieces),
        ]
    });
    // `VALUES` names its columns so in both databases.
    let head = "UPDATE attempt SET ack_seq = v.column3, log_bytes = v.column4, \
                log_newlines = v.column5, log_seq = v.column6 FROM (VALUES";
    let tail = ") AS v WHERE attempt.id = v.column1 AND attempt.fence = v.column2 \
                AND attempt.ack_seq = v.column7 AND attempt.log_seq = v.column8 \
                AND attempt.state IN ('assigned', 'running')";
    let statements = insert_rows(head, COLUMNS, rows.collect(), tail).into_iter();
    let expecting = statements.map(|statement| {
        let rows = statement.args.len() / COLUMNS;
        statement.expect(rows as u64)
    });
    expecting.collect()
}

/// The write of an attempt that goes on, with its last event and its last piece before.
fn progress(
    held: &Held,
    (events, pieces): (u64, u64),
    started: Option<(Timestamp, u32)>,
) -> Statement {
    let mut args = vec![
        Arg::from(held.id.as_str()),
        Arg::count(held.fence.0),
        Arg::count(held.ack_seq),
        Arg::count(held.log_bytes),
        Arg::count(held.log_newlines),
        Arg::count(events),
        Arg::count(held.log_seq),
        Arg::count(pieces),
    ];
    let text = match started {
        None => {
            "UPDATE attempt SET ack_seq = $3, log_bytes = $4, log_newlines = $5, log_seq = $7 \
             WHERE id = $1 AND fence = $2 AND ack_seq = $6 AND log_seq = $8 \
             AND state IN ('assigned', 'running')"
        }
        Some((at, pid)) => {
            args.extend([at.into(), pid.into()]);
            "UPDATE attempt SET ack_seq = $3, log_bytes = $4, log_newlines = $5, log_seq = $7, \
             state = 'running', started_at = $9, pid = $10 \
             WHERE id = $1 AND fence = $2 AND ack_seq = $6 AND log_seq = $8 \
             AND state IN ('assigned', 'running')"
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
            log_seq: 0,
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
