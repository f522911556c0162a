//! Lists of a server, and the pauses of workflows.

use plue_api::{
    pauses::PauseTarget,
    records::{
        AuditRecord, Page, WhoRecord,
        place::{PoolRecord, RunnerRecord, ScheduleRecord, UsageRecord},
        told::ApprovalRecord,
        workflow::WorkflowRecord,
    },
};
use reqwest::Method;
use serde_json::json;

use crate::{
    client::{Client, MAX_PAGE, encoded, with_query},
    error::Result,
};

/// The period and the grouping of a usage report.
#[derive(Debug, Clone)]
pub struct UsageQuery {
    /// First moment, RFC 3339.
    pub from: String,
    /// The moment behind the last one, RFC 3339.
    pub to: String,
    /// `owner/name` of one repository.
    pub repository: Option<String>,
    /// `workflow` or `organisation`; `None`: by repository.
    pub by: Option<&'static str>,
}

// === impl Client ===

impl Client {
    /// The caller, as the API names him.
    ///
    /// # Errors
    /// The call.
    pub async fn whoami(&self) -> Result<WhoRecord> {
        self.get("/api/v1/whoami").await
    }

    /// A page of the audit trail behind a number, the oldest row first.
    ///
    /// # Errors
    /// The call.
    pub async fn audit(&self, after: Option<String>) -> Result<Page<AuditRecord>> {
        let limit = ("limit", Some(MAX_PAGE.to_string()));
        self.get(&with_query("/api/v1/audit", &[limit, ("cursor", after)])).await
    }

    /// Decisions that runs wait for.
    ///
    /// # Errors
    /// The call.
    pub async fn approvals(&self) -> Result<Vec<ApprovalRecord>> {
        self.every_page("/api/v1/approvals", MAX_PAGE).await
    }

    /// Schedules with their next times.
    ///
    /// # Errors
    /// The call.
    pub async fn schedules(&self) -> Result<Vec<ScheduleRecord>> {
        self.get("/api/v1/schedules").await
    }

    /// Live runners.
    ///
    /// # Errors
    /// The call.
    pub async fn runners(&self) -> Result<Vec<RunnerRecord>> {
        self.get("/api/v1/runners").await
    }

    /// Pools with their queues.
    ///
    /// # Errors
    /// The call.
    pub async fn pools(&self) -> Result<Vec<PoolRecord>> {
        self.get("/api/v1/pools").await
    }

    /// Time, attempts and Claude tokens of a period.
    ///
    /// # Errors
    /// The call.
    pub async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageRecord>> {
        let parameters = [
            ("from", Some(query.from.clone())),
            ("to", Some(query.to.clone())),
            ("repository", query.repository.clone()),
            ("by", query.by.map(str::to_owned)),
        ];
        self.get(&with_query("/api/v1/usage", &parameters)).await
    }

    /// Workflows of the default branches, with their pauses.
    ///
    /// # Errors
    /// The call.
    pub async fn workflows(&self) -> Result<Vec<WorkflowRecord>> {
        self.get("/api/v1/workflows").await
    }

    /// Pauses a workflow or its schedules.
    ///
    /// # Errors
    /// The call.
    pub async fn pause(&self, target: &PauseTarget, reason: Option<&str>) -> Result<()> {
        self.change_with(Method::POST, &of_pause(target, "pause"), &json!({ "reason": reason }))
            .await
    }

    /// Resumes a workflow or its schedules.
    ///
    /// # Errors
    /// The call.
    pub async fn resume(&self, target: &PauseTarget) -> Result<()> {
        self.change(Method::POST, &of_pause(target, "resume")).await
    }
}

fn of_pause(target: &PauseTarget, verb: &str) -> String {
    let (repo, workflow) = (encoded(&target.repo), encoded(&target.workflow));
    format!("/api/v1/repositories/{repo}/{}s/{workflow}/{verb}", target.scope.as_str())
}
