//! Messages from a commit to a receiver, over real sockets.

#[cfg(test)]
mod reaching;
#[cfg(test)]
mod receiver;
#[cfg(test)]
mod sending;
