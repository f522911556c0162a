//! A child run that is taken up alone masks what the run above it was given.

use std::collections::BTreeMap;

use plue_executor::{
    Origin, Submission,
    perform::{child::Parent, environment::GivenSecrets, masks::remembered},
};
use plue_flow::RunStatus;
use plue_plan::{
    HashedPlan, Plan,
    event::{Event, EventType},
};
use plue_runtime::Stop;
use plue_store::secret::Keyring;

use super::world::{World, bash};

#[tokio::test]
async fn recovered_children_mask_secrets_of_their_parents() {
    let world = World::new().await;
    let keys = Keyring::generate().unwrap();
    let parent = world.submit(Plan::new("above", vec![bash("a", "true")])).await;
    let given = GivenSecrets([("TOKEN".to_owned(), b"hunter22".to_vec())].into());
    let secrets = remembered(&world.store, Some(&keys), &parent, given).await.unwrap();
    assert_eq!(secrets.all(), [b"hunter22"]);
    let above = Parent {
        run: parent.clone(),
        step: "a".into(),
        depth: 1,
        workflows: vec!["above".to_owned()],
        groups: Vec::new(),
        budgets: Vec::new(),
        token_budgets: Vec::new(),
    };
    let plan = Plan::new("below", vec![bash("b", "echo 22retnuh | rev")]);
    let child = Submission {
        plan: HashedPlan::new(plan).unwrap(),
        source: ".plue.py".to_owned(),
        event: Event::new(EventType::Manual),
        inputs: BTreeMap::new(),
        origin: Origin { parent: Some(above), ..Origin::at(world.work()) },
        only: Vec::new(),
        carried: Vec::new(),
    };
    let child = world.engine.submit(child).await.unwrap();
    let none = GivenSecrets(BTreeMap::new());
    let secrets = remembered(&world.store, Some(&keys), &child, none.clone()).await.unwrap();
    assert_eq!(secrets.secret("TOKEN"), None, "masked, not given");
    let handle = world.engine.drive(&child, secrets, Stop::never()).await.unwrap();
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Success);
    assert_eq!(world.log(&child, "b").await, "***\n");
    // Without the key the run is not driven unmasked.
    let other = Keyring::generate().unwrap();
    for keys in [None, Some(&other)] {
        assert!(remembered(&world.store, keys, &parent, none.clone()).await.is_err());
    }
}
