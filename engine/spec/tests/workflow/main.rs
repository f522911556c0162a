//! Workflow files in YAML and JSON, each with what it becomes beside it, and the rows of the source
//! documents that are about them.
//!
//! After an intended change `cargo run -p plue-spec --example bless_workflows` writes the files
//! `*.expected` anew.

#[cfg(test)]
mod files;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod rendered;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod schema;
