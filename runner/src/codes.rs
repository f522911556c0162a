//! The catalogue of codes `PLUE-R00xx`: reasons for which a step's process does not start, or its
//! outputs do not count.
//!
//! A code never changes its meaning and is never used again; each has a page in `docs/errors/`.

plue_plan::error_codes! {
    SERVICE_ENDED = "PLUE-R0011", "a service ended before its step";
    ARTIFACTS = "PLUE-R0012", "artifacts of a step could not be kept";
    MISSING_ARTIFACTS = "PLUE-R0016", "a glob of a step's artifacts matches no file";
    SERVICE = "PLUE-R0001", "a service of the step did not get ready";
}
