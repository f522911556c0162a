//! Floods of events that need no permission at the forge.

use axum::http::StatusCode;
use plue_runtime::Clock;
use plue_store::{DeliveryRow, DeliveryState};
use serde_json::json;

use crate::support::{HOOK, World};

#[tokio::test]
async fn flooding_comments_are_refused_while_pushes_pass() {
    let world = World::new().await;
    assert_eq!(world.deliver("issue_comment", "first", "{}").await, StatusCode::ACCEPTED);
    for n in 0..2_000 {
        let row = DeliveryRow {
            forge: "github".to_owned(),
            hook: HOOK.to_owned(),
            id: format!("d{n}"),
            headers: json!({}),
            body: b"{}".to_vec(),
            received_at: Clock::real().now(),
            state: DeliveryState::New,
            note: None,
        };
        assert!(world.store.deliveries().receive(row).await.unwrap());
    }
    for event in ["issue_comment", "issues", "star"] {
        let status = world.deliver(event, event, &format!("{{\"e\":\"{event}\"}}")).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{event}");
    }
    for event in ["push", "pull_request"] {
        let status = world.deliver(event, event, &format!("{{\"e\":\"{event}\"}}")).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{event}");
    }
}
