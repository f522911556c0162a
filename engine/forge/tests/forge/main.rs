//! Deliveries from outside, as they are read and verified.

#[cfg(test)]
mod git;
#[cfg(test)]
mod reading;
