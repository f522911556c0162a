//! JSON to plan, strictly: size, depth, duplicate keys, unknown keys.
//!
//! Must not validate: a plan that parses may still be wrong, see [`crate::validate`].

use std::{cell::Cell, collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::{
    budget::{Budget, Meter},
    codes,
    counted::count_values,
    diagnostic::{Code, Diagnostic},
    limits,
    plan::Plan,
    step::OPTION_KEYS,
    validate::nearest,
};

/// Levels of the IR above the values in it (plan, steps, step, field, …), on top of
/// [`limits::MAX_VALUE_DEPTH`].
const IR_LEVELS: usize = 16;

impl Plan {
    /// Reads the IR. Stricter than JSON: no key twice, no key unknown, bounded size and depth.
    ///
    /// # Errors
    /// [`codes::IR_TOO_LARGE`], [`codes::NOT_A_PLAN`], [`codes::DUPLICATE_KEY`] or
    /// [`codes::VALUE_TOO_DEEP`]; the message holds line and column.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Diagnostic> {
        if bytes.len() > limits::MAX_IR_BYTES {
            let (size, max) = (bytes.len(), limits::MAX_IR_BYTES);
            return Err(Diagnostic::error(
                codes::IR_TOO_LARGE,
                format!("the plan is {size} bytes, the limit is {max}"),
            ));
        }
        let budget = Budget {
            bytes: limits::MAX_IR_BYTES as u64,
            items: limits::MAX_IR_VALUES as u64,
            steps: 0,
        };
        count_values(bytes, &Meter::new(budget)).map_err(|_exhausted| {
            let max = limits::MAX_IR_VALUES;
            let message = format!("the plan has more than {max} values");
            Diagnostic::error(codes::IR_TOO_LARGE, message)
        })?;
        strict(bytes)?;
        serde_json::from_slice(bytes).map_err(|error| not_a_plan(&error))
    }
}

fn strict(bytes: &[u8]) -> Result<(), Diagnostic> {
    let broken = Cell::new(None);
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let rules = Strict { depth: 0, broken: &broken };
    match rules.deserialize(&mut json).and_then(|()| json.end()) {
        Ok(()) => Ok(()),
        Err(error) => Err(match broken.take() {
            Some(code) => Diagnostic::error(code, error.to_string()),
            None => not_a_plan(&error),
        }),
    }
}

fn not_a_plan(error: &serde_json::Error) -> Diagnostic {
    let text = error.to_string();
    // "unknown field `x`, expected one of `a`, `b` at line 1 column 2": the list becomes a hint.
    let quoted: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    let (unknown, known) = match text.find("unknown field `").or(text.find("unknown variant `")) {
        Some(start) => {
            let before = text.get(..start).unwrap_or_default().matches('`').count() / 2;
            (quoted.get(before), quoted.get(before + 1..))
        }
        None => (None, None),
    };
    let (Some(unknown), Some(known)) = (unknown, known) else {
        return Diagnostic::error(codes::NOT_A_PLAN, format!("this is no plan: {text}"));
    };
    let cut = text.find(", expected").or(text.find(", there are"));
    let place = text.rfind(" at line ").and_then(|at| text.get(at..));
    let short = match cut.and_then(|at| text.get(..at)) {
        Some(front) => format!("{front}{}", place.unwrap_or_default()),
        None => text.clone(),
    };
    let of_steps = ["id", "kind", "depends_on"].into_iter().chain(OPTION_KEYS);
    let all = known.iter().copied().chain(of_steps);
    let problem = Diagnostic::error(codes::NOT_A_PLAN, format!("this is no plan: {short}"));
    match nearest(unknown, all) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None if known.is_empty() => problem,
        None => problem.hint(format!("known here: {}", known.join(", "))),
    }
}

/// Walks JSON without storing it; `broken` has the first broken rule.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    broken: &'a Cell<Option<Code>>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > limits::MAX_VALUE_DEPTH + IR_LEVELS {
            self.broken.set(Some(codes::VALUE_TOO_DEEP));
            return Err(E::custom("the plan is nested too deeply"));
        }
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while list.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut keys: HashSet<String> = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if keys.contains(&key) {
                self.broken.set(Some(codes::DUPLICATE_KEY));
                let message = format!("the key {key:?} stands twice in one object");
                return Err(A::Error::custom(message));
            }
            keys.insert(key);
            map.next_value_seed(inner)?;
        }
        Ok(())
    }
}
