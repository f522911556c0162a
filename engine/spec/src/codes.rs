//! The catalogue of codes `PLUE-S00xx`: problems of YAML and JSON workflow files, and of expressions
//! when they are evaluated.
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
    NOT_YAML = "PLUE-S0011", "a workflow file is not YAML, or not JSON";
    SAME_KEY = "PLUE-S0012", "a mapping of a workflow file has the same key twice";
    TOO_DEEP = "PLUE-S0013", "a workflow file is nested deeper than the limit";
    BAD_ALIAS = "PLUE-S0014", "an alias of a workflow file names nothing, itself or too much";
    SEVERAL_DOCUMENTS = "PLUE-S0015", "a workflow file holds more than one YAML document";
    BAD_KEY = "PLUE-S0016", "a key of a workflow file is no text, or `<<` merges no mapping";
    NO_WORKFLOW = "PLUE-S0017", "a workflow file holds no workflow";
    UNKNOWN_KEY = "PLUE-S0018", "a workflow file has a key that does not exist there";
    MISSING_KEY = "PLUE-S0019", "a workflow file lacks a key that must be there";
    FIELD_TYPE = "PLUE-S0020", "a value of a workflow file has the wrong type";
    FIELD_VALUE = "PLUE-S0021", "a value of a workflow file is none of those that may stand there";
    FORMAT_VERSION = "PLUE-S0022", "a workflow file has a version of the format that this plue does not read";
    BAD_TAG = "PLUE-S0023", "a YAML tag is unknown or does not fit its value";
    STEP_KIND = "PLUE-S0024", "a task does not define its action, or defines it twice";
    NOT_REPLACED = "PLUE-S0025", "`${…}` stands where it is not replaced";
    LOSSY_NUMBER = "PLUE-S0026", "a number is not written back as it is spelled";
    SECRET_IN_FILE = "PLUE-S0027", "the value of a secret stands in a workflow file";
    IMPLICIT_INPUT = "PLUE-S0028", "a name that is not declared is taken as an input";
    NO_COMMAND = "PLUE-S0029", "a task of the agent `shell` has no command";
    FILE_TOO_LARGE = "PLUE-S0030", "a workflow file is larger than the limit";
}
