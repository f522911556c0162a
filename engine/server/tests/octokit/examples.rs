//! The examples, delivered and worked on.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::atomic::Ordering,
};

use plue_store::DeliveryState;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::support::{AHEAD_US, HOOK, World};

/// The version that `scripts/setup.sh` fetches.
const VERSION: &str = "7.6.1";
/// One collection for GitHub itself, and those of older GitHub Enterprise servers.
const COLLECTIONS: [&str; 6] =
    ["api.github.com", "ghes-31", "ghes-32", "ghes-33", "ghes-34", "ghes-35"];
/// Examples of all collections.
const EXAMPLES: usize = 726;

/// An event with its examples.
#[derive(Deserialize)]
struct Event {
    name: String,
    examples: Vec<Json>,
}

/// All examples: what each is called, its event and its payload.
fn examples() -> Vec<(String, String, String)> {
    let tools = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../tools");
    let package = tools.join(format!("webhooks-examples-{VERSION}"));
    let mut found = Vec::new();
    for collection in COLLECTIONS {
        let path = package.join(collection).join("index.json");
        let text = std::fs::read(&path).unwrap_or_else(|error| {
            panic!(
                "{}: {error}. `scripts/setup.sh test` fetches @octokit/webhooks-examples {VERSION} \
                 from npm and checks its hash; it puts it beside the build (CARGO_TARGET_DIR)",
                path.display()
            )
        });
        let events: Vec<Event> = serde_json::from_slice(&text).unwrap();
        for event in events {
            for (at, example) in event.examples.iter().enumerate() {
                let name = format!("{collection}/{}/{at}", event.name);
                found.push((name, event.name.clone(), example.to_string()));
            }
        }
    }
    found
}

#[tokio::test]
async fn every_github_example_is_accepted_and_handled() {
    let examples = examples();
    assert_eq!(examples.len(), EXAMPLES);
    let world = World::new().await;
    // A few are the same in several collections: one body is one delivery.
    let mut first: HashMap<&str, &str> = HashMap::new();
    for (name, event, payload) in &examples {
        let status = world.deliver(event, name, payload).await;
        assert!(status.is_success(), "{name}: {status}");
        let known_as = first.entry(payload).or_insert(name);
        let kept = world.store.deliveries().get("github", HOOK, known_as).await.unwrap();
        let kept = kept.unwrap_or_else(|| panic!("{name} is not kept"));
        assert_eq!((kept.state, kept.body.as_slice()), (DeliveryState::New, payload.as_bytes()));
    }
    AHEAD_US.store(120_000_000, Ordering::Relaxed);
    while world.server.take_in_once().await.unwrap() > 0 {}
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, _, payload) in &examples {
        if first[payload.as_str()] != name {
            continue;
        }
        let kept = world.store.deliveries().get("github", HOOK, name).await.unwrap().unwrap();
        let outcome = match kept.state {
            DeliveryState::Done => "done",
            DeliveryState::Ignored => "ignored",
            DeliveryState::New | DeliveryState::Failed => {
                panic!("{name}: {:?}: {:?}", kept.state, kept.note)
            }
        };
        let has_note = kept.note.is_some_and(|note| !note.is_empty());
        assert!(outcome == "done" || has_note, "{name} is ignored without a reason");
        *outcomes.entry(outcome).or_default() += 1;
    }
    assert_eq!(outcomes.values().sum::<usize>(), first.len());
    assert!(outcomes.contains_key("done") && outcomes.contains_key("ignored"), "{outcomes:?}");
    assert_eq!(world.get("/readyz").await, 200);
    assert_eq!(world.deliver("ping", "the last one", "{\"zen\": \"z\"}").await, 202);
}
