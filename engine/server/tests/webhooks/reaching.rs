//! Webhooks cannot be pointed at what only this machine can reach.

use plue_api::commands::WebhookRequest;
use plue_server::webhooks::admin::WebhookAdminError;
use plue_store::webhook::DeliveryState;

use crate::receiver::{Receiver, World};

fn wanted(url: &str) -> WebhookRequest {
    WebhookRequest {
        url: url.to_owned(),
        events: vec!["run.created".to_owned()],
        repository: None,
        description: String::new(),
    }
}

#[tokio::test]
async fn webhooks_to_private_addresses_are_refused() {
    let world = World::new(&[]).await;
    let receiver = Receiver::start().await;
    let port = receiver.address.rsplit(':').next().unwrap();
    for (url, code) in [
        (receiver.address.clone(), "PLUE-R0002"),
        (format!("http://localhost:{port}/"), "PLUE-R0002"),
        (format!("http://2130706433:{port}/"), "PLUE-R0002"),
        (format!("http://[::ffff:127.0.0.1]:{port}/"), "PLUE-R0002"),
        ("http://169.254.169.254/latest/meta-data".to_owned(), "PLUE-R0002"),
        ("http://[fd00:ec2::254]/".to_owned(), "PLUE-R0002"),
        (format!("http://hooks.example@127.0.0.1:{port}/"), "PLUE-R0003"),
        ("https://hooks.example/\r\nx-admin: 1".to_owned(), "PLUE-R0003"),
        ("gopher://hooks.example/".to_owned(), "PLUE-R0003"),
    ] {
        match world.admin().add(wanted(&url), "ann".to_owned()).await {
            Err(WebhookAdminError::Address(why)) => assert_eq!(why.code.as_str(), code, "{url}"),
            other => panic!("{url}: {other:?}"),
        }
    }
    assert!(world.store().webhooks().list().await.unwrap().is_empty());
    assert!(world.store().secrets().list(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn addresses_are_checked_again_at_each_try() {
    let receiver = Receiver::start().await;
    let mut world = World::local().await;
    let made = world.hook(&receiver.address).await;
    world.run("r1").await;
    // As when a name has come to mean another address: what was public is not any more.
    world.sender.guard = plue_executor::reach::Guard::default();
    assert_eq!(world.sender.send_due().await.unwrap(), 1);
    let row = world.store().webhooks().delivery(&made.id, "msg_r1_1").await.unwrap().unwrap();
    assert_eq!((row.state, row.status), (DeliveryState::Open, None));
    assert!(row.note.unwrap().starts_with("PLUE-R0002: 127.0.0.1"));
    assert!(receiver.received().is_empty());
}
