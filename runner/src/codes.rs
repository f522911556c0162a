//! The catalogue of codes `PLUE-R00xx`: what keeps the process of a step from starting, or its work from
//! counting.
//!
//! A code never changes its meaning and is never used again; each has a page in `docs/errors/`.

plue_plan::error_codes! {
    SERVICE_ENDED = "PLUE-R0011", "a service ended before its step";
    ARTIFACTS = "PLUE-R0012", "artifacts of a step could not be kept";
    MISSING_ARTIFACTS = "PLUE-R0016", "a glob of a step's artifacts matches no file";
    SERVICE = "PLUE-R0001", "a service of the step did not get ready";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_that_begins_with_its_meaning() {
        let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors");
        for (code, meaning) in ALL {
            let page = std::fs::read_to_string(format!("{pages}/{code}.md")).unwrap();
            assert!(page.starts_with(&format!("# {code}: {meaning}\n")), "{code}");
        }
    }
}
