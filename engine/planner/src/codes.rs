//! The catalogue of codes `PLUE-E02xx`: problems between a workflow file and its plan that are not
//! the evaluator's own.
//!
//! A code never changes its meaning and is never used again; each has a page in `docs/errors/`.

plue_plan::error_codes! {
    NOT_DETERMINISTIC = "PLUE-E0201", "two evaluations of the same file gave different plans";
    TOO_MUCH_CPU = "PLUE-E0202", "the evaluation took more CPU time than the limit";
    TOO_MUCH_MEMORY = "PLUE-E0203", "the evaluation took more memory than the limit";
    TOO_LONG = "PLUE-E0204", "the evaluation took longer than the limit";
    DENIED = "PLUE-E0205", "the evaluation tried what the jail forbids";
    CRASHED = "PLUE-E0206", "the evaluation crashed";
    BAD_REPLY = "PLUE-E0207", "the evaluation answered with something that is no answer";
    TOO_MANY_ROUNDS = "PLUE-E0208", "the workflow asked about the commit too many times in a row";
    TOO_MANY_FACTS = "PLUE-E0209", "the workflow asked for more files and patterns than the limit";
    FACTS_TOO_LARGE = "PLUE-E0210", "what the workflow read is larger than the limit";
    SOURCE_TOO_LARGE = "PLUE-E0211", "a source file is larger than the limit";
    BUNDLE_TOO_LARGE = "PLUE-E0212", "the workflow file and its modules are larger than the limit";
    NOT_UTF8 = "PLUE-E0213", "a source file is not UTF-8 text";
    NO_SUCH_FILE = "PLUE-E0214", "the workflow file does not exist or cannot be read";
    TOO_MANY_PLANS = "PLUE-E0215", "one file returns more plans than the limit";
    TOO_OFTEN = "PLUE-E0216", "the repository asked for more evaluations than it may";
    TOO_MANY_WORKFLOWS = "PLUE-E0217", "the commit has more workflow files than the limit";
    UNKNOWN_WORKFLOW = "PLUE-E0218", "there is no workflow of this name or path";
    AMBIGUOUS_WORKFLOW = "PLUE-E0219", "more than one workflow has this name";
    NO_FRONT_END = "PLUE-E0220", "this kind of workflow file is not supported yet";
    DUPLICATE_PLAN = "PLUE-E0221", "two plans of one file have the same name";
    UNEVALUATED = "PLUE-E0230", "`${…}` stands in a text of a Python workflow that nothing evaluates";
}
