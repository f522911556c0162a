//! One file per effect; none of them decides a status.

pub mod call;
pub mod capacity;
pub mod checkpoint;
pub mod child;
pub(crate) mod condition;
pub(crate) mod engine_step;
pub mod environment;
pub mod forge;
pub mod masks;
pub(crate) mod name;
pub(crate) mod outcome;
pub(crate) mod output;
pub(crate) mod output_spec;
pub(crate) mod outputs;
pub(crate) mod runner_step;
pub(crate) mod scope;
pub(crate) mod test_report;
pub(crate) mod wait;
pub(crate) mod workspace_archive;
