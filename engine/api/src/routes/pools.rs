//! Changes of pools of pods: their size, and their end.

use axum::{extract::State, http::StatusCode, routing::post};
use plue_store::pool::PoolChange;
use serde_json::json;

use super::schema;
use crate::{
    access::{Need, Role},
    endpoint::{Answer, Endpoint, Method},
    extract::{Caller, Json, Path},
    problem::Problem,
    records::runner::{DrainRequest, ScaleRequest},
    server::Api,
};

/// Pods of one pool at most.
const MAX_PODS: u32 = 100_000;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let scale_pool = Endpoint {
        method: Method::Post,
        path: "/api/v1/pools/{pool}/scale",
        need: Need::Everywhere(Role::Admin),
        summary: "Set the sizes of a pool of pods, in place of those of the configuration, or return to those",
        query: &[],
        body: Some(schema::<ScaleRequest>),
        answer: Answer::Nothing,
        route: || post(scale),
    };
    vec![
        Endpoint {
            path: "/api/v1/pools/{pool}/drain",
            summary: "Let the pods of a pool finish their runs and start no others, or take that back",
            body: Some(schema::<DrainRequest>),
            route: || post(drain),
            ..scale_pool.clone()
        },
        scale_pool,
    ]
}

async fn scale(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(pool): Path<String>,
    Json(request): Json<ScaleRequest>,
) -> Result<StatusCode, Problem> {
    let ScaleRequest { min_idle, max } = request;
    let is_sound = max
        .is_none_or(|max| (1..=MAX_PODS).contains(&max) && min_idle.unwrap_or(0) <= max)
        && min_idle.unwrap_or(0) <= MAX_PODS;
    if !is_sound {
        return Err(Problem::bad_request("`max` is at least 1, and at least `min_idle`"));
    }
    change(&api, &pool, PoolChange::Scale { min_idle, max }).await?;
    let detail = json!({"min_idle": min_idle, "max": max});
    api.trail(&caller, "pool.scale", (&pool, None), detail).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn drain(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(pool): Path<String>,
    Json(request): Json<DrainRequest>,
) -> Result<StatusCode, Problem> {
    change(&api, &pool, PoolChange::Drain(request.draining)).await?;
    let detail = json!({"draining": request.draining});
    api.trail(&caller, "pool.drain", (&pool, None), detail).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn change(api: &Api, pool: &str, change: PoolChange) -> Result<(), Problem> {
    let is_known = api.store().pools().change(pool, change, api.clock().now()).await?;
    if is_known { Ok(()) } else { Err(Problem::not_found("pool of pods", pool)) }
}
