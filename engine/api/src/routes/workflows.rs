//! Workflows of watched repositories: listed, paused and resumed, whole or their schedules only.

use axum::{
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use plue_store::repo::pause::PauseScope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::schema;
use crate::{
    access::{Need, Principal, Role},
    endpoint::{Answer, Endpoint, Method},
    extract::{Caller, Json, Path, repo_of},
    pauses::{self, NewPause, PauseError, PauseTarget},
    problem::Problem,
    records::workflow::WorkflowRecord,
    server::Api,
};

/// A request to pause a workflow.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseRequest {
    /// The reason, at most 500 characters; shown with the pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let list = Endpoint {
        method: Method::Get,
        path: "/api/v1/workflows",
        need: Need::Role(Role::Reader),
        summary: "The workflows of the default branches, with their triggers and pauses",
        query: &[],
        body: None,
        answer: Answer::Json(schema::<Vec<WorkflowRecord>>),
        route: || get(list),
    };
    let pause_workflow = Endpoint {
        method: Method::Post,
        path: "/api/v1/repositories/{repository}/workflows/{workflow}/pause",
        need: Need::Role(Role::Maintainer),
        summary: "Pause a workflow: no event, schedule or person starts it until it is resumed",
        body: Some(schema::<PauseRequest>),
        answer: Answer::Nothing,
        route: || post(pause_workflow),
        ..list.clone()
    };
    vec![
        Endpoint {
            path: "/api/v1/repositories/{repository}/workflows/{workflow}/resume",
            summary: "Resume a paused workflow; what was due before does not run",
            body: None,
            route: || post(resume_workflow),
            ..pause_workflow.clone()
        },
        Endpoint {
            path: "/api/v1/repositories/{repository}/schedules/{workflow}/pause",
            summary: "Pause the schedules of a workflow; other events still start it",
            route: || post(pause_schedule),
            ..pause_workflow.clone()
        },
        Endpoint {
            path: "/api/v1/repositories/{repository}/schedules/{workflow}/resume",
            summary: "Resume the schedules of a workflow; what was due before does not run",
            body: None,
            route: || post(resume_schedule),
            ..pause_workflow.clone()
        },
        pause_workflow,
        list,
    ]
}

async fn list(
    State(api): State<Api>,
    Caller(caller): Caller,
) -> Result<axum::Json<Vec<WorkflowRecord>>, Problem> {
    let repos = caller.repos();
    Ok(axum::Json(pauses::workflows(api.store(), repos.as_deref()).await?))
}

async fn pause_workflow(
    state: State<Api>,
    caller: Caller,
    path: Path<(String, String)>,
    request: Json<PauseRequest>,
) -> Result<StatusCode, Problem> {
    pause(PauseScope::Workflow, state, caller, path, request).await
}

async fn pause_schedule(
    state: State<Api>,
    caller: Caller,
    path: Path<(String, String)>,
    request: Json<PauseRequest>,
) -> Result<StatusCode, Problem> {
    pause(PauseScope::Schedule, state, caller, path, request).await
}

async fn resume_workflow(
    state: State<Api>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    resume(PauseScope::Workflow, state, caller, path).await
}

async fn resume_schedule(
    state: State<Api>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    resume(PauseScope::Schedule, state, caller, path).await
}

async fn pause(
    scope: PauseScope,
    State(api): State<Api>,
    Caller(caller): Caller,
    Path((repo, workflow)): Path<(String, String)>,
    Json(PauseRequest { reason }): Json<PauseRequest>,
) -> Result<StatusCode, Problem> {
    pause_target(&api, &caller, PauseTarget { repo, workflow, scope }, reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn resume(
    scope: PauseScope,
    State(api): State<Api>,
    Caller(caller): Caller,
    Path((repo, workflow)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    resume_target(&api, &caller, PauseTarget { repo, workflow, scope }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pauses a workflow of a repository or its schedules, for a caller who may.
///
/// # Errors
/// There is nothing to pause, or the caller may not.
pub(crate) async fn pause_target(
    api: &Api,
    caller: &Principal,
    target: PauseTarget,
    reason: Option<String>,
) -> Result<(), Problem> {
    let PauseTarget { repo, workflow, scope } = target;
    let repo = repo_of(api, caller, &repo).await?.name;
    let target = PauseTarget { repo: repo.clone(), workflow: workflow.clone(), scope };
    let (by, at) = (caller.name.clone(), api.clock().now());
    let new = NewPause { target, by, reason: reason.clone(), at };
    if pauses::pause(api.store(), new).await? {
        let action = format!("{}.pause", scope.as_str());
        let detail = json!({"reason": reason});
        api.trail(caller, &action, (&workflow, Some(repo)), detail).await?;
    }
    Ok(())
}

/// Ends the pause of a workflow of a repository or of its schedules, for a caller who may.
///
/// # Errors
/// It is not paused, or the caller may not.
pub(crate) async fn resume_target(
    api: &Api,
    caller: &Principal,
    target: PauseTarget,
) -> Result<(), Problem> {
    let PauseTarget { repo, workflow, scope } = target;
    let repo = repo_of(api, caller, &repo).await?.name;
    let target = PauseTarget { repo: repo.clone(), workflow: workflow.clone(), scope };
    pauses::resume(api.store(), &target, api.clock().now()).await?;
    let action = format!("{}.resume", scope.as_str());
    api.trail(caller, &action, (&workflow, Some(repo)), json!({})).await
}

impl From<PauseError> for Problem {
    fn from(error: PauseError) -> Self {
        let detail = error.to_string();
        match error {
            PauseError::UnknownWorkflow { .. } | PauseError::NoSchedule(_) => {
                Self::new(StatusCode::NOT_FOUND, detail)
            }
            PauseError::NotPaused(_) => Self::conflict(detail),
            PauseError::LongReason => Self::bad_request(detail),
            PauseError::Store(error) => error.into(),
        }
    }
}
