//! The catalogue of codes `PLUE-R00xx`: what keeps the process of a step from starting.
//!
//! A code never changes its meaning and is never used again; each has a page in `docs/errors/`.

plue_plan::error_codes! {
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
