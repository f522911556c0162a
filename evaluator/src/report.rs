//! Output of a child in its pipe.
//!
//! First, still in trusted code, eight bytes: the request's id. Then, once it is locked, one tag
//! and a rest that the zygote must treat as written by the file's author.

use std::fmt;
use std::marker::PhantomData;

use plue_wire::eval::EvalOutcome;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

/// Bytes of the id.
pub const ID_BYTES: usize = 8;
/// Tag: postcard of the outcome, then of the printed text.
pub const OUTCOME: u8 = b'R';
/// Tag: the name of an audit event.
pub const AUDIT: u8 = b'A';
/// Tag: where Rust code panicked.
pub const PANIC: u8 = b'P';
/// Bytes of a text that is passed on.
const TEXT_BYTES: usize = 200;

/// A child's report, borrowed from the bytes that came.
#[derive(Debug, PartialEq, Eq)]
pub enum Report<'a> {
    /// An outcome that decodes, as postcard, with the printed text behind it.
    Outcome(&'a [u8]),
    /// The audit hook's last word.
    Audit(String),
    /// The panic hook's last word.
    Panic(String),
    /// Neither an outcome nor needs.
    Malformed(&'static str),
}

impl<'a> Report<'a> {
    /// Parses the bytes after the id. Copies nothing of an outcome: the zygote must not retain one
    /// file's output while it serves the next.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Self {
        match bytes.split_first() {
            None => Self::Malformed("nothing was sent"),
            Some((&OUTCOME, rest)) => match check_outcome(rest) {
                Ok(()) => Self::Outcome(rest),
                Err(reason) => Self::Malformed(reason),
            },
            Some((&AUDIT, rest)) => Self::Audit(text(rest)),
            Some((&PANIC, rest)) => Self::Panic(text(rest)),
            Some(_) => Self::Malformed("it starts with an unknown tag"),
        }
    }
}

/// Encodes an outcome the way [`Report::parse`] takes it.
///
/// # Errors
/// When postcard refuses a value; no value of these types is refused.
pub fn encode(outcome: &EvalOutcome, printed: &str) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_extend(&(outcome, printed), vec![OUTCOME])
}

/// [`EvalOutcome`] without `Killed`, which only the zygote reports, and without copies.
#[derive(Deserialize)]
#[expect(dead_code, reason = "the fields are decoded to be checked, then passed on as bytes")]
enum Outcome<'a> {
    Plans(#[serde(borrow)] Each<(&'a str, &'a str)>),
    Needs(#[serde(borrow)] Each<Need<'a>>),
    Failed {
        diagnostics_json: &'a str,
    },
    Surveyed {
        diagnostics_json: &'a str,
        #[serde(borrow)]
        drafts: Each<(&'a str, &'a str)>,
    },
}

/// [`plue_wire::eval::Need`] without copies.
#[derive(Deserialize)]
#[expect(dead_code, reason = "as for `Outcome`")]
enum Need<'a> {
    Read(&'a str),
    Exists(&'a str),
    Glob(&'a str),
    ChangedFiles,
    Event,
}

/// A list whose elements are checked one by one and not kept: ten million empty plans fit into
/// a reply, and must not cost the zygote more than their bytes.
struct Each<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Each<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Walk<T> {
            type Value = Each<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                while list.next_element::<T>()?.is_some() {}
                Ok(Each(PhantomData))
            }
        }
        deserializer.deserialize_seq(Walk(PhantomData))
    }
}

fn check_outcome(bytes: &[u8]) -> Result<(), &'static str> {
    let decoded = postcard::take_from_bytes::<(Outcome<'_>, &str)>(bytes);
    let ((_, printed), rest) = decoded.map_err(|_| "it does not decode")?;
    if !rest.is_empty() {
        return Err("bytes follow it");
    }
    if printed.len() > plue_wire::eval::MAX_PRINT_BYTES {
        return Err("it prints more than the limit");
    }
    Ok(())
}

/// Printable ASCII of an untrusted text, cut.
fn text(bytes: &[u8]) -> String {
    let printable = |byte: &&u8| byte.is_ascii_graphic() || **byte == b' ';
    bytes.iter().filter(printable).take(TEXT_BYTES).map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use plue_wire::eval::{Killed, Need, RawPlan};

    use super::{EvalOutcome, OUTCOME, Report, encode};

    #[test]
    fn an_outcome_is_passed_on_as_the_bytes_that_came() {
        let plan = RawPlan { plan_json: "{}".to_owned(), places_json: "[]".to_owned() };
        let outcomes = [
            EvalOutcome::Plans(vec![plan.clone()]),
            EvalOutcome::Needs(vec![Need::Read("a".to_owned()), Need::ChangedFiles]),
            EvalOutcome::Failed { diagnostics_json: "[]".to_owned() },
            EvalOutcome::Surveyed { diagnostics_json: "[]".to_owned(), drafts: vec![plan] },
        ];
        for outcome in outcomes {
            let bytes = encode(&outcome, "printed").unwrap();
            let Report::Outcome(rest) = Report::parse(&bytes) else { panic!("{outcome:?}") };
            let decoded: (EvalOutcome, String) = postcard::from_bytes(rest).unwrap();
            assert_eq!(decoded, (outcome, "printed".to_owned()));
        }
    }

    #[test]
    fn a_child_may_not_say_that_it_was_killed() {
        let bytes = encode(&EvalOutcome::Killed(Killed::Cpu), "").unwrap();
        assert_eq!(Report::parse(&bytes), Report::Malformed("it does not decode"));
    }

    #[test]
    fn bytes_behind_an_outcome_are_refused() {
        let mut bytes = encode(&EvalOutcome::Needs(Vec::new()), "").unwrap();
        bytes.push(0);
        assert_eq!(Report::parse(&bytes), Report::Malformed("bytes follow it"));
    }

    #[test]
    fn a_huge_announced_list_is_refused_without_allocating_it() {
        let bytes = [OUTCOME, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(Report::parse(&bytes), Report::Malformed("it does not decode"));
    }

    #[test]
    fn control_characters_of_an_event_do_not_travel() {
        assert_eq!(Report::parse(b"Aopen\x1b[2J\n"), Report::Audit("open[2J".to_owned()));
    }
}
