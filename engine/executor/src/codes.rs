//! Codes `PLUE-R…` of refusals by the engine, for steps and webhooks. (`PLUE-R0001` is the runner's.)
//!
//! A code never changes its meaning and is never used again; each has a page in `docs/errors/`.

plue_plan::error_codes! {
    NOT_PUBLIC = "PLUE-R0002", "a request may not go to this address";
    BAD_ADDRESS = "PLUE-R0003", "the address of a request cannot be used";
    RUN_BYTES = "PLUE-R0010", "a run has more bytes than it may";
    FOREIGN_CONTENT = "PLUE-R0014", "a record names content that no run of its scope has sent";
    TEST_REPORT = "PLUE-R0019", "a test report is not read, or only in part";
    FORGE_CHANGE = "PLUE-R0018", "a step may not write this to the forge, or the forge did not take it";
    BAD_HEADER = "PLUE-R0004", "a header of a request cannot be sent";
}
