//! The catalogue of codes `PLUE-S00xx`: problems of expressions when they are evaluated.
//!
//! A code never changes its meaning and is never used again; each has a page in `docs/errors/`.

use plue_plan::Code;

/// An expression or template does not parse.
pub const SYNTAX: Code = Code::new("PLUE-S0001");
/// An expression names a step that the plan does not have.
pub const UNKNOWN_STEP: Code = Code::new("PLUE-S0002");
/// An expression reads a field or index that is not there.
pub const MISSING: Code = Code::new("PLUE-S0003");
/// An operator or function was given values it does not take.
pub const WRONG_TYPE: Code = Code::new("PLUE-S0004");
/// A number is divided by zero, overflows or cannot be read.
pub const ARITHMETIC: Code = Code::new("PLUE-S0005");
/// An expression costs more than the limit.
pub const TOO_COSTLY: Code = Code::new("PLUE-S0006");
/// A condition is neither true nor false.
pub const NOT_BOOLEAN: Code = Code::new("PLUE-S0007");
/// A secret stands where only plain values may stand.
pub const MISPLACED_SECRET: Code = Code::new("PLUE-S0008");
/// An object with a `$` key is no expression, template or secret.
pub const MALFORMED: Code = Code::new("PLUE-S0009");
/// A regular expression is malformed or too large.
pub const BAD_REGEX: Code = Code::new("PLUE-S0010");

/// Every code with what it means, in the order of their numbers.
pub const ALL: &[(Code, &str)] = &[
    (SYNTAX, "an expression or template does not parse"),
    (UNKNOWN_STEP, "an expression names a step that the plan does not have"),
    (MISSING, "an expression reads a field or index that is not there"),
    (WRONG_TYPE, "an operator or function was given values it does not take"),
    (ARITHMETIC, "a number is divided by zero, overflows or cannot be read"),
    (TOO_COSTLY, "an expression costs more than the limit"),
    (NOT_BOOLEAN, "a condition is neither true nor false"),
    (MISPLACED_SECRET, "a secret stands where only plain values may stand"),
    (MALFORMED, "an object with a `$` key is no expression, template or secret"),
    (BAD_REGEX, "a regular expression is malformed or too large"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_that_begins_with_its_meaning() {
        let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
        for (code, meaning) in ALL {
            let page = std::fs::read_to_string(format!("{pages}/{code}.md"));
            let page = page.unwrap_or_else(|error| panic!("{code}: {error}"));
            assert!(page.starts_with(&format!("# {code}: {meaning}\n")), "{code}");
            assert!(page.contains("## Fix"), "{code}");
        }
    }
}
