//! Component tests of the pool: sessions with scripted runners over the real wire, and processes of
//! this machine.

mod processes;
mod scripted;
mod sessions;
