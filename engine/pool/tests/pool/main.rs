//! Component tests of the pool: sessions with scripted runners over the real wire, and processes of
//! this machine.

#[cfg(test)]
mod processes;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod sessions;
