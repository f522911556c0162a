//! The three machines: every change of a status is a row of a table here, and nothing else is.
//!
//! `next` is total: a pair that is not listed is [`Illegal`], live and when a journal is folded.

use std::fmt;

pub mod attempt;
pub mod run;
pub mod step;

/// A status that an event cannot change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {machine} that is {from} cannot {event}")]
pub struct Illegal {
    /// `run`, `step` or `attempt`.
    pub machine: &'static str,
    /// Name of the status before the event.
    pub from: String,
    /// Name of the event.
    pub event: String,
}

/// One row: from, event, to.
pub type Row<S, E> = (S, E, S);

/// Looks up the row.
pub(crate) fn look_up<S, E>(
    machine: &'static str,
    table: &[Row<S, E>],
    (from, event): (S, E),
) -> Result<S, Illegal>
where
    S: Copy + PartialEq + fmt::Display,
    E: Copy + PartialEq + fmt::Display,
{
    let row = table.iter().find(|row| row.0 == from && row.1 == event);
    row.map(|row| row.2).ok_or_else(|| Illegal {
        machine,
        from: from.to_string(),
        event: event.to_string(),
    })
}

/// The table as a Mermaid state diagram, rows in order.
pub fn mermaid<S, E>(initial: S, table: &[Row<S, E>], terminal: impl Fn(S) -> bool) -> String
where
    S: Copy + PartialEq + fmt::Display,
    E: Copy + fmt::Display,
{
    let mut text = format!("stateDiagram-v2\n    [*] --> {initial}\n");
    let mut ends: Vec<S> = Vec::new();
    for &(from, event, to) in table {
        text.push_str(&format!("    {from} --> {to}: {event}\n"));
        if terminal(to) && !ends.contains(&to) {
            ends.push(to);
        }
    }
    for end in ends {
        text.push_str(&format!("    {end} --> [*]\n"));
    }
    text
}

macro_rules! events {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),+ })
            }
        }
    };
}
pub(crate) use events;
