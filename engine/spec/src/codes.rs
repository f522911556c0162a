//! The catalogue of codes `PLUE-S00xx`: problems of expressions when they are evaluated.
//!
//! A code never changes its meaning and is never used again; each has a page in `docs/errors/`.

plue_plan::error_codes! {
    SYNTAX = "PLUE-S0001", "an expression or template does not parse";
    UNKNOWN_STEP = "PLUE-S0002", "an expression names a step that the plan does not have";
    MISSING = "PLUE-S0003", "an expression reads a field or index that is not there";
    WRONG_TYPE = "PLUE-S0004", "an operator or function was given values it does not take";
    ARITHMETIC = "PLUE-S0005", "a number is divided by zero, overflows or cannot be read";
    TOO_COSTLY = "PLUE-S0006", "an expression costs more than the limit";
    NOT_BOOLEAN = "PLUE-S0007", "a condition is neither true nor false";
    MISPLACED_SECRET = "PLUE-S0008", "a secret stands where only plain values may stand";
    MALFORMED = "PLUE-S0009", "an object with a `$` key is no expression, template or secret";
    BAD_REGEX = "PLUE-S0010", "a regular expression is malformed or too large";
}

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
