//! A model of the protocol between engines, runners and the store, explored exhaustively: every order in
//! which messages can come, come again or not come, every death of an engine or a runner.
//!
//! The rule that decides what counts is the store's own (`plue_store::rule`), the transitions of an
//! attempt are the flow's (`plue_flow::machine`). What the model adds is what SQL and sockets do. For each
//! guard of the protocol there is a model without it, which must be found faulty: see `guards.rs`.

#[cfg(test)]
mod explore;
#[cfg(test)]
mod guards;
#[cfg(test)]
mod moves;
#[cfg(test)]
mod protocol;
