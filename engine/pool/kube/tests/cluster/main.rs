//! The manager against API servers, through the real client over HTTP: the fake one always, a real one
//! where a kubeconfig is given.

#[cfg(test)]
mod fake;
#[cfg(test)]
mod real;
#[cfg(test)]
mod support;
