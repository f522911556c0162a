//! Prompt and role files: frontmatter, the schema of the inputs, and the template.
//!
//! Pure: must not await, do I/O, read a clock or the environment. Callers hand in the texts of
//! files and values; this crate hands back text or diagnostics. It treats every file and every
//! value as hostile: sizes, nesting, work and output are bounded by named limits.
//!
//! Reading order: [`prompt`], [`partials`], [`role`], [`shipped`]; `docs/reference/prompts.md` is the manual.
#![forbid(unsafe_code)]

pub mod answer;
mod builtin;
pub mod cases;
pub mod codes;
mod error;
mod frontmatter;
mod header;
pub mod limits;
pub mod partials;
mod problems;
pub mod prompt;
mod render;
pub mod role;
mod scan;
mod schema;
pub mod shipped;
mod survey;
mod template;

pub use crate::{
    builtin::{Form, HELPERS, HelperSpec},
    partials::Partials,
    prompt::{PromptFile, Settings},
    role::{Role, Roles},
    shipped::{library, roles},
};
