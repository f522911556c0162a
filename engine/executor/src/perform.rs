//! One file per effect. Each takes what was committed and does it; none of them decides anything.

pub mod call;
pub(crate) mod care;
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
pub(crate) mod outputs;
pub mod placement;
pub(crate) mod runner_step;
pub(crate) mod scope;
pub(crate) mod wait;
