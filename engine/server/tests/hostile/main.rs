//! Clients that mean no good, over real sockets.

#[cfg(test)]
mod listen;
