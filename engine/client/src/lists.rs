//! Lists of a server: approvals, schedules, runners, pools, usage, the audit trail.

use plue_api::records::{
    ApprovalRecord, AuditRecord, Page, WhoRecord,
    resources::{PoolRecord, RunnerRecord, ScheduleRecord, UsageRecord},
};

use crate::{
    client::{Client, MAX_PAGE, with_query},
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

/// Lists of what a server looks after.
#[derive(Debug, Clone, Copy)]
pub struct Lists<'c>(pub(crate) &'c Client);

// === impl Lists ===

impl Lists<'_> {
    /// The caller, as the API names him.
    ///
    /// # Errors
    /// The call.
    pub async fn whoami(&self) -> Result<WhoRecord> {
        self.0.get("/api/v1/whoami").await
    }

    /// A page of the audit trail behind a number, the oldest row first.
    ///
    /// # Errors
    /// The call.
    pub async fn audit(&self, after: Option<String>) -> Result<Page<AuditRecord>> {
        let limit = ("limit", Some(MAX_PAGE.to_string()));
        self.0.get(&with_query("/api/v1/audit", &[limit, ("cursor", after)])).await
    }

    /// Decisions that runs wait for.
    ///
    /// # Errors
    /// The call.
    pub async fn approvals(&self) -> Result<Vec<ApprovalRecord>> {
        self.0.every_page("/api/v1/approvals", MAX_PAGE).await
    }

    /// Schedules with their next times.
    ///
    /// # Errors
    /// The call.
    pub async fn schedules(&self) -> Result<Vec<ScheduleRecord>> {
        self.0.get("/api/v1/schedules").await
    }

    /// Live runners.
    ///
    /// # Errors
    /// The call.
    pub async fn runners(&self) -> Result<Vec<RunnerRecord>> {
        self.0.get("/api/v1/runners").await
    }

    /// Pools with their queues.
    ///
    /// # Errors
    /// The call.
    pub async fn pools(&self) -> Result<Vec<PoolRecord>> {
        self.0.get("/api/v1/pools").await
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
        self.0.get(&with_query("/api/v1/usage", &parameters)).await
    }
}
