//! Effects of a try, as a table.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn hook(failing_since: Option<i64>) -> WebhookRow {
    WebhookRow {
        id: "w".to_owned(),
        url: "https://host.example".to_owned(),
        events: Vec::new(),
        repo: None,
        description: String::new(),
        created_by: "ann".to_owned(),
        created_at: at(0),
        both_until: None,
        failing_since: failing_since.map(at),
        disabled: None,
    }
}

fn row(tries: u32) -> DeliveryRow {
    DeliveryRow {
        webhook: "w".to_owned(),
        message: "msg_1".to_owned(),
        event: "ping".to_owned(),
        fact: None,
        state: DeliveryState::Open,
        version: 1,
        tries,
        next_at: at(0),
        created_at: at(0),
        tried_at: None,
        status: None,
        note: None,
    }
}

fn answer(status: u16, retry_after: Option<&str>, body: &[u8]) -> Result<Answered, Unreached> {
    let retry_after = retry_after.map(str::to_owned);
    Ok(Answered { status, retry_after, body: body.to_vec() })
}

fn judged(tries: u32, outcome: &Result<Answered, Unreached>, chance: u32) -> Settled {
    settled((&hook(None), &row(tries)), outcome, at(1_000), chance)
}

fn wait(settled: &Settled) -> i64 {
    assert_eq!(settled.state, DeliveryState::Open);
    settled.next_at.as_second() - 1_000
}

#[test]
fn waits_grow_with_jitter_for_three_days() {
    let down = Err(Unreached::Failed("refused".to_owned()));
    for (tries, least) in (0..).zip(WAITS) {
        let least = i64::try_from(least.as_secs()).unwrap();
        assert_eq!(wait(&judged(tries, &down, 0)), least);
        assert_eq!(wait(&judged(tries, &down, 20)), least + least / 5);
        for chance in [1, 7, 21, u32::MAX] {
            assert!((least..=least + least / 5).contains(&wait(&judged(tries, &down, chance))));
        }
    }
    let over = judged(9, &down, 0);
    assert_eq!((over.state, over.disable), (DeliveryState::Failed, None));
    assert!(WAITS.iter().sum::<Duration>() > PATIENCE);
}

#[test]
fn only_2xx_succeeds_and_410_disables() {
    for status in [200, 202, 204, 299] {
        assert_eq!(judged(3, &answer(status, None, b""), 0).state, DeliveryState::Delivered);
    }
    for status in [100, 301, 302, 307, 308, 400, 401, 404, 429, 500, 503] {
        let settled = judged(0, &answer(status, None, b"why"), 0);
        assert_eq!((settled.state, settled.disable), (DeliveryState::Open, None), "{status}");
        assert_eq!(settled.status, Some(status));
    }
    let gone = judged(0, &answer(410, None, b""), 0);
    assert_eq!((gone.state, gone.disable.is_some()), (DeliveryState::Failed, true));
}

#[test]
fn retry_after_is_obeyed_within_bounds() {
    let pause = |text: &str| wait(&judged(0, &answer(503, Some(text), b""), 0));
    assert_eq!(pause("120"), 120);
    assert_eq!(pause("1"), 5, "not sooner than without");
    assert_eq!(pause("Thu, 01 Jan 1970 00:18:20 GMT"), 100);
    assert_eq!(pause("Thu, 01 Jan 1970 00:00:00 GMT"), 5);
    assert_eq!(pause("99999999999999"), 24 * 3_600);
    for nonsense in ["", "-1", "soon", "1e9", "Xxx, 99 Foo 1970 00:00:00 GMT"] {
        assert_eq!(pause(nonsense), 5, "{nonsense}");
    }
}

#[test]
fn endpoints_failing_for_days_are_disabled() {
    let down = answer(500, None, b"");
    let days = |since: i64| settled((&hook(Some(since)), &row(0)), &down, at(3 * 86_400), 0);
    assert!(days(1).disable.is_none());
    let over = days(0);
    assert_eq!(over.state, DeliveryState::Open, "unless the endpoint is disabled");
    assert_eq!(over.next_at, at(3 * 86_400 + 5));
    assert!(over.disable.unwrap().reason.contains("1970-01-01T00:00:00Z"));
    let well = settled((&hook(Some(0)), &row(0)), &answer(200, None, b""), at(9 * 86_400), 0);
    assert_eq!((well.state, well.disable), (DeliveryState::Delivered, None));
}

#[test]
fn notes_of_answers_are_short_plain_text() {
    let note = judged(0, &answer(500, None, b"\x1b[31mno\r\n\xff"), 0).note.unwrap();
    assert!(!note.chars().any(char::is_control) && note.contains("no"), "{note:?}");
    let long = judged(0, &answer(500, None, &[b'x'; 5_000]), 0).note.unwrap();
    assert_eq!(long.len(), MAX_NOTE);
    assert_eq!(judged(0, &answer(200, None, b"  "), 0).note, None);
    let moved = judged(0, &answer(302, None, b"x"), 0).note.unwrap();
    assert!(moved.contains("not followed"));
}
