//! The language half against the real interpreter: every file of the corpora, and single rules.

#[path = "language/context.rs"]
mod context;
#[path = "language/corpus.rs"]
mod corpus;
#[path = "language/harness.rs"]
mod harness;
#[path = "language/messages.rs"]
mod messages;
#[path = "language/words.rs"]
mod words;
