//! Receivers that fail, hang, redirect, are gone for good; and those that are not.

use std::time::Duration;

use plue_runtime::{Phase, Shutdown, Tasks};
use plue_store::webhook::{DeliveryRow, DeliveryState};

use crate::receiver::{Answer, Receiver, World, status};

async fn only(world: &World, hook: &str, run: &str) -> DeliveryRow {
    let message = format!("msg_{run}_1");
    world.store().webhooks().delivery(hook, &message).await.unwrap().unwrap()
}

#[tokio::test]
async fn messages_are_signed_and_thin() {
    let (world, receiver) = (World::local().await, Receiver::start().await);
    let made = world.hook(&format!("{}/hook?x=1", receiver.address)).await;
    world.run("r1").await;
    assert_eq!(world.sender.send_due().await.unwrap(), 1);
    assert_eq!(world.sender.send_due().await.unwrap(), 0);
    let got = receiver.received().remove(0);
    assert_eq!(got.path, "/hook?x=1");
    assert_eq!(got.header("webhook-id"), "msg_r1_1");
    assert_eq!(got.header("webhook-timestamp"), "1800000000");
    assert_eq!(got.header("content-type"), "application/json");
    assert!(got.header("user-agent").starts_with("plue/"));
    assert!(got.is_signed(&made.secret, world.now()));
    assert!(!got.is_signed("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", world.now()));
    let (message, run) = (got.json(), &got.json()["data"]["run"]);
    assert_eq!(message["type"], "run.created");
    assert_eq!(run["api_url"], "https://ci.example/api/v1/runs/r1");
    assert!(!message.to_string().contains("canary"), "{message}");
    let row = only(&world, &made.id, "r1").await;
    assert_eq!((row.state, row.tries, row.status), (DeliveryState::Delivered, 1, Some(204)));
}

#[tokio::test]
async fn failed_messages_repeat_with_same_id_and_body() {
    let (world, receiver) = (World::local().await, Receiver::start().await);
    let made = world.hook(&receiver.address).await;
    world.run("r1").await;
    let why = Answer::Status(500, &[], format!("\x1b[31mno\n{}", "x".repeat(100_000)));
    receiver.answers(&[
        why,
        status(404),
        Answer::Status(503, &[("retry-after", "600")], String::new()),
    ]);
    let mut waits = Vec::new();
    for _ in 0..3 {
        assert_eq!(world.sender.send_due().await.unwrap(), 1);
        let row = only(&world, &made.id, "r1").await;
        assert_eq!(row.state, DeliveryState::Open);
        // Its clock goes on meanwhile: up to the next whole second.
        let wait = (row.next_at.duration_since(world.now()).as_millis() + 999) / 1_000;
        let wait = i64::try_from(wait).unwrap();
        world.later(wait - 1);
        assert_eq!(world.sender.send_due().await.unwrap(), 0, "not before its time");
        world.later(2);
        waits.push(wait);
    }
    assert!((5..=6).contains(&waits[0]) && (300..=360).contains(&waits[1]), "{waits:?}");
    assert!((1_800..=2_160).contains(&waits[2]), "{waits:?}");
    assert_eq!(world.sender.send_due().await.unwrap(), 1);
    let got = receiver.received();
    assert_eq!(got.len(), 4);
    assert!(
        got.iter().all(|one| one.body == got[0].body && one.header("webhook-id") == "msg_r1_1")
    );
    assert!(got.iter().all(|one| one.header("webhook-timestamp") != "0"));
    assert_ne!(got[0].header("webhook-timestamp"), got[3].header("webhook-timestamp"));
    assert!(got[3].is_signed(&made.secret, world.now()), "each try is signed anew");
    assert_eq!(only(&world, &made.id, "r1").await.state, DeliveryState::Delivered);
}

#[tokio::test]
async fn undeliverable_messages_end_with_their_webhook() {
    let (world, receiver) = (World::local().await, Receiver::start().await);
    let made = world.hook(&receiver.address).await;
    world.run("r1").await;
    receiver.answers(&vec![status(500); 20]);
    let mut tries = 0;
    while only(&world, &made.id, "r1").await.state == DeliveryState::Open {
        tries += world.sender.send_due().await.unwrap();
        let row = only(&world, &made.id, "r1").await;
        world.later(row.next_at.duration_since(world.now()).as_secs().max(0) + 1);
    }
    assert!((9..=10).contains(&tries), "{tries}");
    let hook = world.store().webhooks().get(&made.id).await.unwrap().unwrap();
    let (_, reason) = hook.disabled.unwrap();
    assert!(reason.starts_with("nothing has come through since"), "{reason}");
    world.run("r2").await;
    assert_eq!(world.sender.send_due().await.unwrap(), 0);
}

#[tokio::test]
async fn gone_receivers_are_disabled_at_once() {
    let (world, receiver) = (World::local().await, Receiver::start().await);
    let made = world.hook(&receiver.address).await;
    receiver.answers(&[status(410)]);
    world.run("r1").await;
    world.sender.send_due().await.unwrap();
    world.run("r2").await;
    world.later(86_400);
    assert_eq!(world.sender.send_due().await.unwrap(), 0);
    assert_eq!(receiver.received().len(), 1);
    let hook = world.store().webhooks().get(&made.id).await.unwrap().unwrap();
    assert_eq!(hook.disabled.unwrap().1, "it answered 410 Gone");
    world.store().webhooks().enable(&made.id).await.unwrap();
    world.run("r3").await;
    assert_eq!(world.sender.send_due().await.unwrap(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed_wherever_it_leads() {
    let (world, receiver) = (World::local().await, Receiver::start().await);
    let other = Receiver::start().await;
    let made = world.hook(&receiver.address).await;
    let leaked: &'static str = Box::leak(format!("{}/there", other.address).into_boxed_str());
    let headers: &'static [(&str, &str)] = Box::leak(Box::new([("location", leaked)]));
    receiver
        .answers(&[301, 302, 307, 308].map(|code| Answer::Status(code, headers, String::new())));
    world.run("r1").await;
    for _ in 0..4 {
        assert_eq!(world.sender.send_due().await.unwrap(), 1);
        world.later(86_400 / 2);
    }
    let row = only(&world, &made.id, "r1").await;
    assert_eq!((row.state, row.status), (DeliveryState::Open, Some(308)));
    assert!(row.note.unwrap().contains("not followed"));
    assert!(other.received().is_empty());
}

#[tokio::test]
async fn rotated_secrets_stay_valid_for_a_day() {
    let (world, receiver) = (World::local().await, Receiver::start().await);
    let made = world.hook(&receiver.address).await;
    let new = world.admin().rotate(&made.id).await.unwrap();
    assert_ne!(made.secret, new.secret);
    world.run("r1").await;
    world.sender.send_due().await.unwrap();
    let got = receiver.received().remove(0);
    assert_eq!(got.header("webhook-signature").split(' ').count(), 2);
    assert!(got.is_signed(&made.secret, world.now()) && got.is_signed(&new.secret, world.now()));
    world.later(24 * 3_600);
    world.run("r2").await;
    world.sender.send_due().await.unwrap();
    let got = receiver.received().remove(1);
    assert!(!got.is_signed(&made.secret, world.now()) && got.is_signed(&new.secret, world.now()));
    assert!(world.admin().rotate("none").await.is_err());
}

#[tokio::test]
async fn nothing_is_sent_without_a_signature() {
    let (mut world, receiver) = (World::local().await, Receiver::start().await);
    let made = world.hook(&receiver.address).await;
    world.run("r1").await;
    world.sender.keys = None;
    assert_eq!(world.sender.send_due().await.unwrap(), 0);
    world.sender.keys = Some(plue_store::secret::Keyring::generate().unwrap());
    assert_eq!(world.sender.send_due().await.unwrap(), 1);
    let row = only(&world, &made.id, "r1").await;
    assert_eq!((row.state, row.status), (DeliveryState::Open, None));
    assert!(row.note.unwrap().contains("sealed with the key"));
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn hanging_receivers_delay_no_other_or_the_stop() {
    let world = World::local().await;
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    slow.answers(&vec![Answer::Hang; 100]);
    world.hook(&slow.address).await;
    world.hook(&quick.address).await;
    for n in 0..20 {
        world.run(&format!("r{n}")).await;
    }
    let (shutdown, stop) = Shutdown::new();
    let sender = world.sender.clone();
    let task = Tasks::new().spawn("sender", async move { sender.run(&stop).await });
    let got = quick.has(20).await;
    let ids: std::collections::BTreeSet<_> =
        got.iter().map(|one| one.header("webhook-id")).collect();
    assert_eq!((got.len(), ids.len()), (20, 20));
    let held = slow.has(4).await.len();
    assert_eq!(held, 4, "so many at once and no more");
    shutdown.advance(Phase::Draining);
    task.await.unwrap();
    assert_eq!(slow.received().len(), 4);
}

#[tokio::test]
async fn two_servers_send_each_message_once() {
    let (world, receiver) = (World::local().await, Receiver::start().await);
    let made = world.hook(&receiver.address).await;
    for n in 0..12 {
        world.run(&format!("r{n}")).await;
    }
    let (one, two) = (world.sender.clone(), world.sender.clone());
    while {
        let (a, b) = tokio::join!(one.send_due(), two.send_due());
        a.unwrap() + b.unwrap() > 0
    } {}
    assert_eq!(receiver.received().len(), 12);
    // A server that dies while it sends has claimed and settled nothing.
    world.run("r99").await;
    let until = world.now() + Duration::from_secs(20);
    let claimed = world.store().webhooks().claim(&made.id, (world.now(), until), 1).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(world.sender.send_due().await.unwrap(), 0);
    world.later(20);
    assert_eq!(world.sender.send_due().await.unwrap(), 1);
    assert_eq!(receiver.received()[12].header("webhook-id"), "msg_r99_1");
}
