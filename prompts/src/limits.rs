//! Every limit of prompt and role files, as a named constant. Each has an error code and a test.

use plue_plan::limits as plan;

/// Bytes of one prompt, partial or role file.
pub const MAX_FILE_BYTES: usize = plan::MAX_SCRIPT_BYTES;
/// Bytes of the frontmatter of a file.
pub const MAX_FRONTMATTER_BYTES: usize = 64 * 1024;
/// YAML nodes of the frontmatter, after aliases are replaced.
pub const MAX_FRONTMATTER_NODES: usize = 10_000;
/// Nesting of YAML values in the frontmatter.
pub const MAX_FRONTMATTER_DEPTH: usize = plan::MAX_VALUE_DEPTH;
/// Blocks inside each other, those of partials and each `else if` included. The Handlebars crate
/// overflows a stack of 2 MiB from about 900 on.
pub const MAX_NESTING: usize = 64;
/// Parentheses inside each other in one tag.
pub const MAX_EXPRESSION_DEPTH: usize = 16;
/// Bytes of one tag, from `{{` to `}}`; comments and raw blocks are not tags.
pub const MAX_TAG_BYTES: usize = 4 * 1024;
/// Tags of one file times its bytes. The Handlebars crate counts lines from the start for every
/// tag, so this product is the time that it takes to compile.
pub const MAX_COMPILE_WORK: usize = 128 * 1024 * 1024;
/// Bytes of all inputs of one prompt, as JSON.
pub const MAX_INPUT_BYTES: usize = 8 * 1024 * 1024;
/// Nesting of the inputs.
pub const MAX_INPUT_DEPTH: usize = 128;
/// Bytes of a rendered prompt.
pub const MAX_OUTPUT_BYTES: usize = 4 * 1024 * 1024;
/// Work of one rendering: about one unit for a byte that is copied, and [`ELEMENT_WORK`] units for
/// each piece of a template that is rendered.
pub const MAX_WORK: u64 = 256 * 1024 * 1024;
/// Units of work for one piece of a template.
pub const ELEMENT_WORK: u64 = 64;
/// Units of work for entering a partial, which makes a context of its own.
pub const PARTIAL_WORK: u64 = 2048;
/// Problems that are reported at once.
pub const MAX_PROBLEMS: usize = 100;
/// Maximum of spaces for the helpers `indent` and `json`.
pub const MAX_INDENT: u64 = 64;
