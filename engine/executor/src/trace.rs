//! Traces and spans of runs, derived from ids, so that every engine computes the same ones, also after a
//! crash; and the `traceparent` of W3C Trace Context.
//!
//! Must not send anything: the server's exporter does.

use std::{fmt, str::FromStr};

use plue_plan::{AttemptId, RunId};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::loaded::Origin;

/// Most ends of runs that wait for their export; further ones are dropped and counted.
pub const ENDS_QUEUE: usize = 1_024;

/// A span of a trace: `traceparent` of W3C Trace Context, version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// Id of the trace, not all zero.
    pub trace: [u8; 16],
    /// Id of the span, not all zero.
    pub span: [u8; 8],
    /// Whether the caller records the trace.
    pub sampled: bool,
}

/// An invalid `traceparent`; the standard demands to ignore it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no traceparent of W3C Trace Context")]
pub struct Unreadable;

/// The share of traces that are recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling(f64);

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Id of the run.
    pub run: RunId,
    /// Facts in the journal at the end.
    pub seq: u64,
}

/// Sampling and export of an engine's traces.
#[derive(Debug, Clone)]
pub struct Traces {
    /// The share of recorded traces, unless the caller decides.
    pub sampling: Sampling,
    /// The queue of the exporter; an end that finds no room is dropped and counted.
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

    /// Parses version 00, and the same fields of later versions.
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
    /// Samples every trace; the default.
    pub const ALL: Self = Self(1.0);

    /// A share from 0 to 1; `None` for other numbers.
    #[must_use]
    pub fn share(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// By the last 56 bits of the id, as the standard specifies for all participants.
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
    /// The root span of a run, in the trace of its submission or in one of its own.
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

/// The span of the submission, if it had a valid `traceparent`.
#[must_use]
pub fn caller_of(origin: &Origin) -> Option<TraceContext> {
    origin.traceparent.as_ref().and_then(|text| text.parse().ok())
}

/// The span of one part of a run: part 0 ends with the run's first end, part 1 starts with its first retry.
#[must_use]
pub fn span_of_run(run: &RunId, part: u32) -> [u8; 8] {
    first(&digest("run", &format!("{run} {part}")))
}

/// The span of an attempt.
#[must_use]
pub fn span_of_attempt(attempt: &AttemptId) -> [u8; 8] {
    first(&digest("attempt", attempt.as_str()))
}

/// The span of a model call.
#[must_use]
pub fn span_of_call(call: &str) -> [u8; 8] {
    first(&digest("call", call))
}

fn digest(kind: &str, id: &str) -> [u8; 32] {
    Sha256::digest(format!("plue {kind} {id}")).into()
}

/// The first bytes of a digest; all zero, which no id may be, is negligibly improbable.
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
    fn traceparents_are_parsed_and_written() {
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
    fn ids_are_derived_from_the_run() {
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
    fn runs_join_the_trace_of_their_submission() {
        let mut origin = Origin::at(PathBuf::from("/w"));
        origin.traceparent = Some(WORD.to_owned());
        let root = traces(0.0).of_run(&RunId::new("01r"), &origin);
        assert_eq!(root.to_string()[..36], WORD[..36]);
        assert!(root.sampled);
        origin.traceparent = Some("nonsense".to_owned());
        assert!(!traces(0.0).of_run(&RunId::new("01r"), &origin).sampled);
    }

    #[test]
    fn sampling_takes_its_share() {
        let (traces, origin) = (traces(0.1), Origin::at(PathBuf::from("/w")));
        let sampled =
            (0..2_000).filter(|n| traces.of_run(&RunId::new(format!("run{n}")), &origin).sampled);
        assert!((140..260).contains(&sampled.count()));
    }
}
