//! Numbers: CEL's `int` and `double` over JSON's one kind. They may be mixed, as JSON does not
//! distinguish `2` from `2.0` reliably.

use std::cmp::Ordering;

use serde_json::{Number, Value as Json};

use crate::error::Error;

/// A number of either kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Num {
    Int(i64),
    Double(f64),
}

// === impl Num ===

impl Num {
    pub(crate) fn of(number: &Number) -> Self {
        match number.as_i64() {
            Some(int) => Self::Int(int),
            None => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
        }
    }

    /// # Errors
    /// Infinity and "not a number" have no JSON.
    pub(crate) fn json(self) -> Result<Json, Error> {
        match self {
            Self::Int(int) => Ok(Json::Number(int.into())),
            Self::Double(double) => Number::from_f64(double)
                .map(Json::Number)
                .ok_or_else(|| Error::Arithmetic("the result is no finite number".to_owned())),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "CEL compares and mixes as doubles")]
    pub(crate) fn double(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Double(double) => double,
        }
    }

    pub(crate) fn order(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (Self::Int(_) | Self::Double(_), Self::Int(_) | Self::Double(_)) => {
                self.double().partial_cmp(&other.double())
            }
        }
    }

    /// # Errors
    /// Division by zero, overflow, or `%` of doubles.
    pub(crate) fn calculate(self, sign: char, other: Self) -> Result<Self, Error> {
        if let (Self::Int(a), Self::Int(b)) = (self, other) {
            if matches!(sign, '/' | '%') && b == 0 {
                return Err(Error::Arithmetic(format!("{a} {sign} 0 divides by zero")));
            }
            let result = match sign {
                '+' => a.checked_add(b),
                '-' => a.checked_sub(b),
                '*' => a.checked_mul(b),
                '/' => a.checked_div(b),
                _ => a.checked_rem(b),
            };
            let overflow = || Error::Arithmetic(format!("{a} {sign} {b} is out of range"));
            return result.map(Self::Int).ok_or_else(overflow);
        }
        let (a, b) = (self.double(), other.double());
        match sign {
            '+' => Ok(Self::Double(a + b)),
            '-' => Ok(Self::Double(a - b)),
            '*' => Ok(Self::Double(a * b)),
            '/' if b == 0.0 => Err(Error::Arithmetic(format!("{a} / 0 divides by zero"))),
            '/' => Ok(Self::Double(a / b)),
            _ => Err(Error::WrongType("`%` takes whole numbers".to_owned())),
        }
    }
}

/// A number as text: `3`, `2.5`, `1` for `1.0`.
pub(crate) fn text(number: &Number) -> String {
    match Num::of(number) {
        Num::Int(int) => int.to_string(),
        Num::Double(_) if number.is_u64() => number.to_string(),
        Num::Double(double) => double.to_string(),
    }
}
