//! The calls of one attempt: each id is executed once, and answered again with its first result.
//!
//! Ids are never forgotten; results are, oldest first, when they are too large together.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::content::{Content, Reply};

/// Calls of one attempt.
const MAX_CALLS: usize = 100_000;
/// Bytes of results that are stored for repeated calls.
const KEPT_BYTES: usize = 64 * 1024 * 1024;

/// The calls of one attempt, by id, with the stored results.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    calls: HashMap<String, Known>,
    /// Ids of stored results, oldest first.
    kept: VecDeque<String>,
    kept_bytes: usize,
}

#[derive(Debug)]
enum Known {
    Running,
    Done(Arc<Reply>),
    Dropped,
}

/// The outcome of a call.
#[derive(Debug)]
pub(super) enum Admission {
    /// It is new: execute it.
    Execute,
    /// It is being executed; its reply comes.
    Running,
    /// It has its reply.
    Answered(Arc<Reply>),
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn admit(&mut self, id: &str) -> Admission {
        let refused = |why: String| {
            Admission::Answered(Arc::new(Reply::new(id.to_owned(), Content::text(why), true)))
        };
        match self.calls.get(id) {
            Some(Known::Running) => Admission::Running,
            Some(Known::Done(reply)) => Admission::Answered(reply.clone()),
            Some(Known::Dropped) => refused(
                "this call was executed; its result is not kept any more and it is not executed again"
                    .to_owned(),
            ),
            None if self.calls.len() >= MAX_CALLS => {
                refused(format!("not executed: the attempt has had its {MAX_CALLS} tool calls"))
            }
            None => {
                self.calls.insert(id.to_owned(), Known::Running);
                Admission::Execute
            }
        }
    }

    /// A call has ended.
    pub(super) fn done(&mut self, id: &str, reply: &Arc<Reply>) {
        self.calls.insert(id.to_owned(), Known::Done(reply.clone()));
        self.kept.push_back(id.to_owned());
        self.kept_bytes += reply.size();
        while self.kept_bytes > KEPT_BYTES {
            let Some(oldest) = self.kept.pop_front() else { return };
            if let Some(Known::Done(reply)) = self.calls.insert(oldest, Known::Dropped) {
                self.kept_bytes -= reply.size();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(ledger: &mut Ledger, id: &str, text: String) {
        assert!(matches!(ledger.admit(id), Admission::Execute));
        assert!(matches!(ledger.admit(id), Admission::Running));
        let reply = Reply::new(id.to_owned(), Content::text(text), false);
        ledger.done(id, &Arc::new(reply));
    }

    #[test]
    fn calls_are_executed_once() {
        let mut ledger = Ledger::default();
        done(&mut ledger, "a", "one".to_owned());
        let Admission::Answered(reply) = ledger.admit("a") else { panic!("executed again") };
        assert_eq!(*reply, Reply::new("a".to_owned(), Content::text("one"), false));
    }

    #[test]
    fn old_results_go_and_their_ids_stay() {
        let mut ledger = Ledger::default();
        for id in 0..300 {
            done(&mut ledger, &id.to_string(), "x".repeat(500_000));
        }
        assert!(ledger.kept_bytes <= KEPT_BYTES);
        let Admission::Answered(reply) = ledger.admit("0") else { panic!("executed again") };
        assert!(format!("{reply:?}").contains("is_error: true"));
    }
}
