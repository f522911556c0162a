//! A model of pool managers, the store, the API server and pods, explored exhaustively.
//!
//! The decisions are those of `plue_pool_kube::machine::decide`; the model adds the store's
//! compare-and-sets, the API server's answers and every failure between two steps. For each guard there
//! is a model without it that must be found faulty: see `guards.rs`.

#[cfg(test)]
mod explore;
#[cfg(test)]
mod guards;
#[cfg(test)]
mod perform;
#[cfg(test)]
mod world;
