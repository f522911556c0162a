//! Runners of other machines, and pools of pods.

use plue_api::records::{
    resources::{PoolRecord, RunnerRecord},
    runner::{DrainRequest, RegistrationTokenRecord, RegistrationTokenRequest, ScaleRequest},
};
use reqwest::Method;

use crate::{
    client::{Client, encoded},
    error::Result,
};

const EXECUTORS: &str = "/api/v1/executors";
const POOLS: &str = "/api/v1/pools";

/// Runners of other machines, and pools of pods.
#[derive(Debug, Clone, Copy)]
pub struct Runners<'c>(pub(crate) &'c Client);

// === impl Runners ===

impl Runners<'_> {
    /// Makes a token that registers one runner; only this answer has it.
    ///
    /// # Errors
    /// The call.
    pub async fn create_token(
        &self,
        request: &RegistrationTokenRequest,
    ) -> Result<RegistrationTokenRecord> {
        self.0.post(&format!("{EXECUTORS}/tokens"), request).await
    }

    /// Runners that are not gone.
    ///
    /// # Errors
    /// The call.
    pub async fn list(&self) -> Result<Vec<RunnerRecord>> {
        self.0.get("/api/v1/runners").await
    }

    /// Lets a runner finish its run and get no other, or takes that back.
    ///
    /// # Errors
    /// The call.
    pub async fn drain(&self, id: &str, draining: bool) -> Result<()> {
        let target = format!("{EXECUTORS}/{}/drain", encoded(id));
        self.0.change_with(Method::POST, &target, &DrainRequest { draining }).await
    }

    /// Removes a runner that works for no run.
    ///
    /// # Errors
    /// The call.
    pub async fn remove(&self, id: &str) -> Result<()> {
        self.0.change(Method::DELETE, &format!("{EXECUTORS}/{}", encoded(id))).await
    }

    /// Pools with their runners and queues.
    ///
    /// # Errors
    /// The call.
    pub async fn pools(&self) -> Result<Vec<PoolRecord>> {
        self.0.get(POOLS).await
    }

    /// Sets the sizes of a pool of pods.
    ///
    /// # Errors
    /// The call.
    pub async fn scale_pool(&self, pool: &str, sizes: &ScaleRequest) -> Result<()> {
        let target = format!("{POOLS}/{}/scale", encoded(pool));
        self.0.change_with(Method::POST, &target, sizes).await
    }

    /// Lets the pods of a pool finish their runs and start no others, or takes that back.
    ///
    /// # Errors
    /// The call.
    pub async fn drain_pool(&self, pool: &str, draining: bool) -> Result<()> {
        let target = format!("{POOLS}/{}/drain", encoded(pool));
        self.0.change_with(Method::POST, &target, &DrainRequest { draining }).await
    }
}
