//! Logins against an issuer on this machine: discovery, keys, and tokens that must not be believed.

#[cfg(test)]
mod discovery;
#[cfg(test)]
mod issuer;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod tokens;
