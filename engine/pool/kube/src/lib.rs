//! Warm runner pods on Kubernetes.
//!
//! The database is the only authority on runners and claims; the API server only on whether a pod
//! exists. [`machine`] decides in pure code from rows and pods. Kubernetes types do not leave this
//! crate.
#![forbid(unsafe_code)]

pub mod machine;
