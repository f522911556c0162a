//! The catalogue of codes `PLUE-T00xx`: problems of prompt and role files and their inputs.
//!
//! A code never changes its meaning and is never used again; each has a page in `docs/errors/`.

plue_plan::error_codes! {
    FILE_TOO_LARGE = "PLUE-T0001", "a prompt or role file is larger than the limit, or holds a NUL character";
    NO_FRONTMATTER = "PLUE-T0002", "a prompt or role file has no frontmatter, or it is not closed";
    BAD_FRONTMATTER = "PLUE-T0003", "the frontmatter is no valid YAML, or a field has the wrong type";
    UNKNOWN_FIELD = "PLUE-T0004", "the frontmatter has a field that does not exist";
    MISSING_NAME = "PLUE-T0005", "the frontmatter has no usable name";
    BAD_FIELD = "PLUE-T0006", "a field of the frontmatter has a value that cannot be";
    BAD_SCHEMA = "PLUE-T0007", "the schema or output of a prompt is no usable JSON Schema";
    TEMPLATE_SYNTAX = "PLUE-T0008", "the template does not parse";
    TOO_DEEP = "PLUE-T0009", "blocks, expressions or values are nested deeper than the limit";
    UNSUPPORTED_TAG = "PLUE-T0010", "the template uses a part of Handlebars that prompts do not have";
    UNKNOWN_HELPER = "PLUE-T0011", "the template calls a helper that does not exist";
    HELPER_ARGUMENTS = "PLUE-T0012", "a helper is given arguments that it does not take";
    UNKNOWN_PARTIAL = "PLUE-T0013", "the template includes a partial that does not exist";
    PARTIAL_CYCLE = "PLUE-T0014", "partials include each other in a circle";
    TEMPLATE_TOO_COSTLY = "PLUE-T0015", "a tag is too long, or the template has too many tags for its size";
    MISSING_INPUT = "PLUE-T0016", "an input that the schema requires is missing";
    UNKNOWN_INPUT = "PLUE-T0017", "an input is given that the schema does not allow";
    INVALID_INPUT = "PLUE-T0018", "an input does not fit the schema";
    INPUT_TOO_LARGE = "PLUE-T0019", "the inputs are larger than the limit";
    MISSING_VALUE = "PLUE-T0020", "the template reads a value that is not there";
    WRONG_VALUE = "PLUE-T0021", "the template uses a value of the wrong kind";
    OUTPUT_TOO_LARGE = "PLUE-T0022", "the rendered prompt is larger than the limit";
    RENDER_TOO_COSTLY = "PLUE-T0023", "rendering costs more than the limit";
    DUPLICATE_NAME = "PLUE-T0024", "two partials or roles have the same name";
    NAME_MISMATCH = "PLUE-T0025", "the name in the frontmatter is not the name of the file";
    TEMPLATE_IN_ROLE = "PLUE-T0026", "the text of a role holds a tag, and roles are not rendered";
    MORE_PROBLEMS = "PLUE-T0027", "there are more problems than are listed";
    UNKNOWN_PROMPT = "PLUE-T0028", "there is no prompt of this name";
    UNREADABLE = "PLUE-T0029", "a prompt or role file cannot be read as text";
    BAD_CASES = "PLUE-T0030", "the file of example cases next to a prompt does not fit";
    CASE_FAILED = "PLUE-T0031", "a prompt does not give the text that its example case expects";
    NO_RECORDING = "PLUE-T0032", "a case of a prompt has no answer that was recorded for its request";
}

#[cfg(test)]
mod tests;
