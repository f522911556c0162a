//! Workflow files in YAML and JSON, each with its expected result, and the conformance rows about
//! them.
//!
//! After an intended change `cargo run -p plue-spec --example bless_workflows` rewrites the files
//! `*.expected`.

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
