//! Warm runner pods on Kubernetes.
//!
//! The database is the only authority on runners and claims; the API server only on whether a pod
//! exists. [`machine`] decides in pure code from rows and pods, [`reconciler`] carries it out through a
//! [`PodApi`]. Kubernetes types do not leave this crate.
#![forbid(unsafe_code)]

mod api;
mod client;
mod decode;
pub mod machine;
pub mod pod;
pub mod reconciler;
mod template;

pub use crate::{
    api::{ApiError, ApiFuture, Deleted, PodApi},
    client::{Cluster, KubePods},
    template::{Limits, Placement, PodTemplate, Toleration},
};
