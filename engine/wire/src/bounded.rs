//! Lists that are counted while they are decoded: a frame of 20 MiB has room for ten million empty
//! plans, which would take half a gigabyte of memory before a check after decoding.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};

use crate::outputs::{Change, MAX_CHANGES};

/// Entries of one list in a reply of an evaluator: well above the limit of each list.
pub const MAX_REPLY_ENTRIES: usize = 4_096;
/// Entries of a stored list of changes: several times the limit of one runner, because the engine
/// merges lists.
pub const MAX_LISTED_CHANGES: usize = 8 * MAX_CHANGES;

/// Decodes a list of at most [`MAX_REPLY_ENTRIES`].
pub(crate) fn list<'de, D, T>(decoder: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    decoder.deserialize_seq(Counted { most: MAX_REPLY_ENTRIES, entries: PhantomData })
}

/// Decodes a list of at most [`MAX_LISTED_CHANGES`].
pub(crate) fn changes<'de, D: Deserializer<'de>>(decoder: D) -> Result<Vec<Change>, D::Error> {
    decoder.deserialize_seq(Counted { most: MAX_LISTED_CHANGES, entries: PhantomData })
}

struct Counted<T> {
    most: usize,
    entries: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Counted<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {} entries", self.most)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            if list.len() == self.most {
                return Err(A::Error::custom("the list has too many entries"));
            }
            list.push(entry);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        decode,
        eval::{EvalOutcome, EvalReply, Need, RawPlan, Usage},
        frame::{FrameError, PREFIX_BYTES},
    };

    use super::MAX_REPLY_ENTRIES;

    fn decoded(outcome: EvalOutcome) -> Result<EvalReply, FrameError> {
        let usage = Usage::default();
        let reply = EvalReply { id: 1, outcome, printed: String::new(), usage };
        let bytes = crate::encode(&reply, 1 << 20).unwrap();
        decode(&bytes[PREFIX_BYTES..])
    }

    #[test]
    fn lists_of_replies_are_counted_while_decoded() {
        let plan = RawPlan { plan_json: String::new(), places_json: String::new() };
        for count in [0, 1, MAX_REPLY_ENTRIES] {
            assert!(decoded(EvalOutcome::Plans(vec![plan.clone(); count])).is_ok(), "{count}");
        }
        let plans = EvalOutcome::Plans(vec![plan; MAX_REPLY_ENTRIES + 1]);
        assert!(matches!(decoded(plans), Err(FrameError::Malformed(_))));
        let needs = EvalOutcome::Needs(vec![Need::ChangedFiles; MAX_REPLY_ENTRIES + 1]);
        assert!(matches!(decoded(needs), Err(FrameError::Malformed(_))));
    }

    #[test]
    fn announced_lists_allocate_no_memory() {
        // id, variant `Plans`, a count of 10,000,000, then empty plans.
        let mut bytes = vec![1, 0, 0x80, 0xad, 0xe2, 0x04];
        bytes.resize(bytes.len() + 20_000_000, 0);
        assert!(matches!(decode::<EvalReply>(&bytes), Err(FrameError::Malformed(_))));
    }
}
