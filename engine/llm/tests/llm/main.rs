//! The crate against recorded streams and against a server on this machine.

#[cfg(test)]
mod client;
#[cfg(test)]
mod odd;
#[cfg(test)]
mod samples;
