//! Accepted tools of MCP servers.

use plue_plan::{RunId, StepId};
use plue_store::mcp::{McpKey, McpPin};
use serde_json::json;

use crate::support::at;

fn key(repo: Option<&str>, server: &str) -> McpKey {
    McpKey {
        repo: repo.map(str::to_owned),
        workflow: "CI".to_owned(),
        step: StepId::new("review"),
        server: server.to_owned(),
    }
}

fn pin(hash: &str) -> McpPin {
    let toolset = json!({"is_all": true, "tools": {"a": {"name": hash}}});
    McpPin { hash: hash.to_owned(), toolset, run: RunId::new("r1"), at: at(1) }
}

on_each_store! {
    async fn tools_are_accepted_once_and_replaced_by_name(world) {
        let store = world.store.clone();
        let docs = key(Some("acme/app"), "docs");
        assert_eq!(store.mcp().pin(&docs).await.unwrap(), None);
        assert!(store.mcp().accept(docs.clone(), None, pin("one")).await.unwrap());
        assert!(!store.mcp().accept(docs.clone(), None, pin("two")).await.unwrap());
        assert_eq!(store.mcp().pin(&docs).await.unwrap(), Some(pin("one")));
        let wrong = Some("zero".to_owned());
        assert!(!store.mcp().accept(docs.clone(), wrong, pin("two")).await.unwrap());
        let right = Some("one".to_owned());
        assert!(store.mcp().accept(docs.clone(), right, pin("two")).await.unwrap());
        assert_eq!(store.mcp().pin(&docs).await.unwrap(), Some(pin("two")));
        for other in [key(None, "docs"), key(Some("acme/app"), "other"), key(Some("b"), "docs")] {
            assert_eq!(store.mcp().pin(&other).await.unwrap(), None, "{other:?}");
        }
    }
}
