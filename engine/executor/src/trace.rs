//! Which trace a run belongs to and which spans are its own: derived from ids, so that every engine, and
//! the same one after a crash, comes to the same; and the word of W3C Trace Context that carries it.
//!
//! Must not send anything: that is the server's `traces`.

use std::{fmt, str::FromStr};

use plue_plan::{AttemptId, RunId};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::loaded::Origin;

/// Ends of runs that wait for their export at most; what is beyond is counted and forgotten.
pub const ENDS_QUEUE: usize = 1_024;

/// A place in a trace: `traceparent` of W3C Trace Context, version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: [u8; 16],
    /// The span.
    pub span: [u8; 8],
    /// Whether somebody records the trace.
    pub sampled: bool,
}

/// A `traceparent` that cannot be read; by the standard it is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no traceparent of W3C Trace Context")]
pub struct Unreadable;

/// The share of traces that are recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling(f64);

/// A run has ended, with so many facts in its journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The run.
    pub run: RunId,
    /// Facts up to the end.
    pub seq: u64,
}

/// Traces of an engine: which are recorded, and who is told of ends.
#[derive(Debug, Clone)]
pub struct Traces {
    /// Which are recorded.
    pub sampling: Sampling,
    /// Who is told. An end that finds no room is lost, and counted.
    pub ends: mpsc::Sender<Ended>,
}

// === impl TraceContext ===

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (hex::encode(self.trace), hex::encode(self.span));
        write!(f, "00-{trace}-{span}-{:02x}", u8::from(self.sampled))
    }
}

impl FromStr for TraceContext {
    type Err = Unreadable;

    /// Reads version 00, and of later versions what they share with it.
    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(Unreadable);
        let (version, trace, span, flags) = (next()?, next()?, next()?, next()?);
        let more = parts.next().is_some();
        let lower = |text: &str| !text.bytes().any(|byte| byte.is_ascii_uppercase());
        if version.len() != 2 || version == "ff" || (version == "00" && more) || !lower(text) {
            return Err(Unreadable);
        }
        let (mut known, mut read) = ([0; 1], Self { trace: [0; 16], span: [0; 8], sampled: false });
        hex::decode_to_slice(version, &mut known).map_err(|_| Unreadable)?;
        hex::decode_to_slice(trace, &mut read.trace).map_err(|_| Unreadable)?;
        hex::decode_to_slice(span, &mut read.span).map_err(|_| Unreadable)?;
        hex::decode_to_slice(flags, &mut known).map_err(|_| Unreadable)?;
        if read.trace == [0; 16] || read.span == [0; 8] {
            return Err(Unreadable);
        }
        read.sampled = known[0] & 1 == 1;
        Ok(read)
    }
}

// === impl Sampling ===

impl Sampling {
    /// Every trace.
    pub const ALL: Self = Self(1.0);

    /// A share from 0 to 1; `None` for other numbers.
    #[must_use]
    pub fn share(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// By the last 56 bits of the id, as the other members of the trace do who go by it.
    fn takes(self, trace: [u8; 16]) -> bool {
        let [.., a, b, c, d, e, f, g] = trace;
        let drawn = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
        #[expect(clippy::cast_precision_loss, reason = "56 bits, of which 53 decide")]
        let drawn = drawn as f64 / (1_u64 << 56) as f64;
        drawn < self.0
    }
}

// === impl Traces ===

impl Traces {
    /// The root span of a run: in the trace of whoever asked for it, or in one of its own.
    #[must_use]
    pub fn of_run(&self, run: &RunId, origin: &Origin) -> TraceContext {
        let span = span_of_run(run, 0);
        match caller_of(origin) {
            Some(caller) => TraceContext { span, ..caller },
            None => {
                let trace = first(&digest("trace", run.as_str()));
                TraceContext { trace, span, sampled: self.sampling.takes(trace) }
            }
        }
    }

    /// The span of an attempt.
    #[must_use]
    pub fn of_attempt(&self, run: &RunId, origin: &Origin, attempt: &AttemptId) -> TraceContext {
        TraceContext { span: span_of_attempt(attempt), ..self.of_run(run, origin) }
    }
}

/// Where in a trace the run was asked for, if its caller said.
#[must_use]
pub fn caller_of(origin: &Origin) -> Option<TraceContext> {
    origin.traceparent.as_ref().and_then(|text| text.parse().ok())
}

/// The span of a run's part: 0 up to its first end, 1 from its first retry to its second, …
#[must_use]
pub fn span_of_run(run: &RunId, part: u32) -> [u8; 8] {
    first(&digest("run", &format!("{run} {part}")))
}

/// The span of an attempt.
#[must_use]
pub fn span_of_attempt(attempt: &AttemptId) -> [u8; 8] {
    first(&digest("attempt", attempt.as_str()))
}

/// The span of a call of a model.
#[must_use]
pub fn span_of_call(call: &str) -> [u8; 8] {
    first(&digest("call", call))
}

fn digest(kind: &str, id: &str) -> [u8; 32] {
    Sha256::digest(format!("plue {kind} {id}")).into()
}

/// The first bytes of a digest. That they are all zero, which no id may be, does not happen.
fn first<const N: usize>(digest: &[u8; 32]) -> [u8; N] {
    let mut id = [0; N];
    id.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
    id
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const WORD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn traces(share: f64) -> Traces {
        Traces { sampling: Sampling::share(share).unwrap(), ends: mpsc::channel(1).0 }
    }

    #[test]
    fn a_traceparent_is_read_as_the_standard_says_and_written_back() {
        let read: TraceContext = WORD.parse().unwrap();
        assert_eq!((read.to_string().as_str(), read.sampled), (WORD, true));
        let later = format!("01{}-more", &WORD[2..]);
        assert_eq!(later.parse::<TraceContext>(), Ok(read));
        let not_sampled: TraceContext = format!("{}00", &WORD[..53]).parse().unwrap();
        assert!(!not_sampled.sampled);
        for bad in [
            "",
            "00",
            &WORD[..54],
            &WORD.to_uppercase(),
            &format!("{WORD}-more"),
            &format!("ff{}", &WORD[2..]),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(bad.parse::<TraceContext>(), Err(Unreadable), "{bad}");
        }
    }

    #[test]
    fn every_engine_derives_the_same_ids_and_other_runs_have_others() {
        let origin = Origin::at(PathBuf::from("/w"));
        let run = RunId::new("01r");
        let (root, again) = (traces(1.0).of_run(&run, &origin), traces(0.0).of_run(&run, &origin));
        assert_eq!((root.trace, root.span), (again.trace, again.span));
        assert_eq!((root.sampled, again.sampled), (true, false));
        let attempt = AttemptId::new("01r:a:1:1");
        let child = traces(1.0).of_attempt(&run, &origin, &attempt);
        assert_eq!(child.trace, root.trace);
        assert_ne!(child.span, root.span);
        assert_ne!(span_of_run(&run, 1), root.span);
        assert_ne!(traces(1.0).of_run(&RunId::new("02r"), &origin).trace, root.trace);
    }

    #[test]
    fn a_run_that_was_asked_for_in_a_trace_stays_in_it_and_is_sampled_as_it_is() {
        let mut origin = Origin::at(PathBuf::from("/w"));
        origin.traceparent = Some(WORD.to_owned());
        let root = traces(0.0).of_run(&RunId::new("01r"), &origin);
        assert_eq!(root.to_string()[..36], WORD[..36]);
        assert!(root.sampled);
        origin.traceparent = Some("nonsense".to_owned());
        assert!(!traces(0.0).of_run(&RunId::new("01r"), &origin).sampled);
    }

    #[test]
    fn about_a_tenth_is_a_tenth() {
        let (traces, origin) = (traces(0.1), Origin::at(PathBuf::from("/w")));
        let sampled =
            (0..2_000).filter(|n| traces.of_run(&RunId::new(format!("run{n}")), &origin).sampled);
        assert!((140..260).contains(&sampled.count()));
    }
}
