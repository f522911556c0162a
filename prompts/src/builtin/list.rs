//! The frozen list of helpers: what a template may call, and with how many arguments.
//!
//! Must not hold behaviour; the neighbours do.

/// Allowed positions of a helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Block helper, `{{#if x}}…{{/if}}`.
    Block,
    /// `{{json x}}` and `(json x)`
    Value,
    /// Raw block, `{{{{raw}}}}…{{{{/raw}}}}`.
    Raw,
}

/// Signature of one helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HelperSpec {
    /// The name that templates use.
    pub name: &'static str,
    /// Positions where templates may use it.
    pub form: Form,
    /// Minimum number of arguments.
    pub least: usize,
    /// Maximum number of arguments.
    pub most: usize,
    /// Named arguments, such as `indent=2`.
    pub named: &'static [&'static str],
    /// Names after `as |…|`, at most.
    pub block_names: usize,
    /// One line for people.
    pub summary: &'static str,
}

const fn value(name: &'static str, least: usize, most: usize, summary: &'static str) -> HelperSpec {
    HelperSpec { name, form: Form::Value, least, most, named: &[], block_names: 0, summary }
}

const fn block(name: &'static str, block_names: usize, summary: &'static str) -> HelperSpec {
    HelperSpec { name, form: Form::Block, least: 1, most: 1, named: &[], block_names, summary }
}

/// Arguments of `and` and `or`, at most.
const MANY: usize = 16;

/// Every helper that a prompt may call. The list is frozen: a new one is a new version of the
/// prompt language.
pub const HELPERS: &[HelperSpec] = &[
    HelperSpec {
        named: &["includeZero"],
        ..block("if", 0, "the block, if the value is true, not zero and not empty")
    },
    HelperSpec {
        named: &["includeZero"],
        ..block("unless", 0, "the block, if the value is false, zero, null or empty")
    },
    block("each", 2, "the block for each item of a list or entry of an object"),
    block("with", 1, "the block with the value as `this`"),
    HelperSpec {
        form: Form::Raw,
        least: 0,
        most: 0,
        ..block("raw", 0, "the text as it stands, tags included")
    },
    HelperSpec {
        named: &["indent"],
        ..value("json", 1, 1, "the value as JSON; `indent=2` on several lines")
    },
    value("indent", 2, 2, "the text with N spaces before each line that is not empty"),
    value("truncate", 2, 2, "at most N characters of the text, the last one `…` if it is cut"),
    value("fence", 1, 2, "the text in a Markdown code fence that no text can close; a language"),
    value("default", 2, 2, "the first value, or the second if the first is missing or null"),
    value("lookup", 2, 2, "the item of a list or object at a computed place"),
    value("len", 1, 1, "the number of items, entries or characters"),
    value("eq", 2, 2, "whether two values are equal"),
    value("ne", 2, 2, "whether two values differ"),
    value("gt", 2, 2, "whether the first number or text is greater"),
    value("gte", 2, 2, "whether the first number or text is greater or equal"),
    value("lt", 2, 2, "whether the first number or text is less"),
    value("lte", 2, 2, "whether the first number or text is less or equal"),
    value("and", 2, MANY, "whether all values are true, as `if` sees them"),
    value("or", 2, MANY, "whether any value is true, as `if` sees it"),
    value("not", 1, 1, "whether the value is false, as `if` sees it"),
];

/// The helper of a name.
pub(crate) fn find(name: &str) -> Option<&'static HelperSpec> {
    HELPERS.iter().find(|helper| helper.name == name)
}
