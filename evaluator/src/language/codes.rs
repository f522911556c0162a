//! The catalogue of codes: every problem that the language layer reports, one line each.
//!
//! A code never changes its meaning and is never used again. Each has a page in `docs/errors/`; a
//! test compares the two. Must not hold the texts of messages: those stand where they are reported.

plue_plan::error_codes! {
    SOURCE_TOO_LARGE = "PLUE-E0001", "a source file is larger than the limit";
    NOT_UTF8 = "PLUE-E0002", "a source file is not valid UTF-8";
    CONTROL_CHARACTER = "PLUE-E0003", "a source file holds a control character";
    INVISIBLE_CHARACTER = "PLUE-E0004", "a source file holds a character that hides or reorders text";
    LONE_CARRIAGE_RETURN = "PLUE-E0005", "a source file holds a carriage return without a line feed";
    CODING_COOKIE = "PLUE-E0006", "a source file declares an encoding other than UTF-8";
    NON_ASCII_NAME = "PLUE-E0007", "a name holds a character outside ASCII";
    NO_SOURCE = "PLUE-E0008", "the request holds no such source file";
    SYNTAX = "PLUE-E0009", "the file is not valid Python";
    TOO_COMPLEX = "PLUE-E0010", "the file is nested too deeply or has too many parts";
    FORBIDDEN_SYNTAX = "PLUE-E0011", "a construct of Python is not available while a plan is made";
    FORBIDDEN_NAME = "PLUE-E0012", "a name is reserved by Python";
    FORBIDDEN_ATTRIBUTE = "PLUE-E0013", "an attribute is not available while a plan is made";
    FORBIDDEN_METHOD = "PLUE-E0014", "a special method is not available while a plan is made";
    CLASS_KEYWORD = "PLUE-E0015", "a class has a metaclass, a keyword or a base that is not available";
    FORMAT_VALUE = "PLUE-E0016", "`str.format` is used other than by calling it with a plain template";
    FORBIDDEN_IMPORT = "PLUE-E0017", "a module is not available while a plan is made";
    UNKNOWN_IMPORT = "PLUE-E0018", "a module has no such name";
    REMOVED_BUILTIN = "PLUE-E0019", "a builtin is not available while a plan is made";
    UNDEFINED_NAME = "PLUE-E0020", "a name is not defined";
    IMPORT_CYCLE = "PLUE-E0021", "modules of `.plue/lib` import each other in a circle";
    NO_WORKFLOW = "PLUE-E0022", "the file has no function `workflow`";
    BAD_WORKFLOW = "PLUE-E0023", "`workflow` is no function of at most one parameter";
    BAD_RETURN = "PLUE-E0024", "`workflow` returned something that is neither a plan nor a list of plans";
    TOO_MANY_PLANS = "PLUE-E0025", "`workflow` returned no plan, or more plans than the limit";
    EXCEPTION = "PLUE-E0026", "the file raised an exception";
    RECURSION = "PLUE-E0027", "the file recursed too deeply";
    MEMORY = "PLUE-E0028", "the file used more memory than the limit";
    PRINT_LIMIT = "PLUE-E0029", "the file printed more text than the limit";
    UNKNOWN_ARGUMENT = "PLUE-E0030", "a constructor has no such argument";
    MISSING_ARGUMENT = "PLUE-E0031", "a constructor lacks an argument";
    POSITIONAL_ARGUMENT = "PLUE-E0032", "a constructor got too many positional arguments";
    WRONG_TYPE = "PLUE-E0033", "an argument has the wrong type";
    NOT_A_LIST = "PLUE-E0034", "an argument that must be a list is something else";
    BAD_VALUE = "PLUE-E0035", "an argument has a value that it does not take";
    NOT_JSON = "PLUE-E0036", "a value cannot be written as JSON";
    BAD_TEXT = "PLUE-E0037", "a text holds NUL or half a character";
    STEP_FUNCTION = "PLUE-E0038", "a function cannot travel as the code of a step";
    BAD_PATH = "PLUE-E0039", "a path or pattern does not stay inside the repository";
    UNREADABLE = "PLUE-E0040", "a file of the commit does not exist or is not text";
    GUARDED = "PLUE-E0041", "an operation is not available while a plan is made";
    NO_TEXT_FORM = "PLUE-E0042", "an object has no text that is the same on every machine";
    REFERENCE_AS_TEXT = "PLUE-E0043", "a reference was used as text";
    BAD_REQUEST = "PLUE-E0044", "the request to the evaluator is malformed";
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
        let pages: BTreeSet<String> = fs::read_dir(docs)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(".md").map(str::to_owned))
            .filter(|name| name.starts_with("PLUE-E00"))
            .collect();
        let codes: BTreeSet<String> = ALL.iter().map(|(code, _)| code.to_string()).collect();
        assert_eq!(codes, pages);
    }

    #[test]
    fn codes_are_unique_and_in_order() {
        let codes: Vec<&str> = ALL.iter().map(|(code, _)| code.as_str()).collect();
        assert!(codes.is_sorted());
        assert_eq!(codes.len(), codes.iter().collect::<BTreeSet<_>>().len());
    }
}
