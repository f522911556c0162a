//! Pictures of a plan: text for a terminal, Mermaid, DOT, SVG.
//!
//! Names are untrusted: each format escapes them itself, and a test per format tries to break out.
//! Must not need a valid plan: a cycle is drawn too. Pure, as plue-plan is.
#![forbid(unsafe_code)]

mod dot;
mod drawing;
mod fold;
mod layout;
mod mermaid;
pub mod placed;
mod svg;
mod text;

pub use dot::dot;
pub use mermaid::mermaid;
pub use svg::svg;
pub use text::text;

#[cfg(test)]
mod tests;
