//! Every byte that a process prints arrives in order and masked, across broken connections.

use std::io::Read as _;

use plue_wire::{
    eval::Bytes,
    runner::{EventKind, Exit, FromRunner, ResultVerdict, ToRunner, Verdict},
};
use serde_json::json;

use crate::engine::{Log, World, bash, verdict, with_claim};

#[test]
fn every_byte_comes_back_unchanged() {
    let (world, mut session) = World::start(&[]);
    let mut bytes = Vec::new();
    let random = std::fs::File::open("/dev/urandom").unwrap();
    random.take(10 * 1024 * 1024).read_to_end(&mut bytes).unwrap();
    bytes.extend(b"\0\xff\xfe\r50%\r100%\n\xed\xa0\x80 no line end");
    std::fs::write(world.workspace().join("bytes"), &bytes).unwrap();
    let log = session.run(&bash("cat bytes & cat bytes >&2; wait"));
    assert!(log.stdout == bytes && log.stderr == bytes);
    assert_eq!(log.exit(), &Exit::Code(0));
}

#[test]
fn failure_case_19_one_line_of_200_mb() {
    let (_world, mut session) = World::start(&[]);
    session.assign(&bash("head -c 200000000 /dev/zero"));
    let mut log = Log::default();
    let mut total = 0;
    while log.result.is_none() {
        let message = session.receive();
        log.take(message);
        total += log.stdout.len();
        assert!(log.stdout.iter().all(|byte| *byte == 0));
        log.stdout.clear();
        session.send(&ToRunner::Ack(bash("").claim, log.last));
    }
    assert_eq!(total, 200_000_000);
}

#[test]
fn output_arrives_while_the_step_runs() {
    let (world, mut session) = World::start(&[]);
    session.assign(&bash("printf 'no line end'; until test -e go; do sleep 0.01; done"));
    let mut log = Log::default();
    session.until_stdout(&mut log, "no line end");
    std::fs::write(world.workspace().join("go"), "").unwrap();
    session.collect(&bash("").claim, &mut log);
}

#[test]
fn secrets_are_masked_in_streams_and_outputs() {
    let (world, mut session) = World::start(&[]);
    let mut assign = bash(
        "printf 'a hun'; sleep 0.2; printf 'ter2-secret b\\n'; printf user:$KEY | base64 -w0; echo; \
         printf %s \"$CERT\" | tail -n1 >&2; echo \"{\\\"k\\\": \\\"$KEY\\\"}\" > $PLUE_OUTPUT",
    );
    assign.secrets = vec![
        ("KEY".to_owned(), Bytes(b"hunter2-secret".to_vec())),
        ("CERT".to_owned(), Bytes(b"line one of it\nline two of it\n".to_vec())),
    ];
    session.assign(&assign);
    let mut log = Log::default();
    while log.result.is_none() {
        let message = session.receive();
        log.take(message);
    }
    let text = log.text();
    assert!(text.starts_with("a *** b\n"), "{text:?}");
    assert!(!text.contains("aHVudGVy") && text.contains("***"), "{text:?}");
    assert_eq!(log.stderr, b"***\n");
    assert_eq!(log.output(), json!({"k": "***"}));
    // The result is unacknowledged, so it goes to disk: nothing of the secret may.
    drop(session);
    let (_session, hello) = world_accept(world, |world| {
        for entry in std::fs::read_dir(world.folder().join("state/io")).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(7).any(|part| part == b"hunter2"));
        }
    });
    assert!(hello.resume[0].ended);
}

fn world_accept(
    mut world: World,
    check: impl Fn(&World),
) -> (crate::engine::Session, plue_wire::runner::Hello) {
    let accepted = world.accept();
    check(&world);
    accepted
}

#[test]
fn output_over_the_log_limit_is_dropped() {
    let (_world, mut session) = World::start(&[]);
    let mut assign = bash("head -c 300000 /dev/zero | tr '\\0' x; echo end; exit 5");
    assign.log_cap_bytes = 100_000;
    let log = session.run(&assign);
    assert_eq!(log.stdout, [b'x'; 100_000]);
    assert_eq!(log.exit(), &Exit::Code(5));
    let gap = log.others.iter().find_map(|kind| match kind {
        EventKind::Gap { bytes, .. } => Some(*bytes),
        _ => None,
    });
    assert_eq!(gap, Some(200_004));
    assert!(log.output().as_str().unwrap().ends_with("xend"));
}

#[test]
fn failure_case_12_the_connection_is_cut_every_k_bytes() {
    let (mut world, mut session) = World::start(&[]);
    let mut bytes = Vec::new();
    let random = std::fs::File::open("/dev/urandom").unwrap();
    random.take(3_000_000).read_to_end(&mut bytes).unwrap();
    std::fs::write(world.workspace().join("bytes"), &bytes).unwrap();
    let assign = bash("cat bytes");
    session.assign(&assign);
    let mut log = Log::default();
    for round in 0_usize.. {
        session.read_some(70_000 + round * 7_919 % 300_000, &mut log);
        if log.result.is_some() {
            break;
        }
        drop(session);
        session = world.accept().0;
        // Sometimes the engine has lost acknowledged events.
        let acked = log.last.saturating_sub(u64::try_from(round % 3).unwrap());
        session.send(&ToRunner::Welcome(plue_wire::runner::Welcome {
            epoch: 1,
            resume: vec![verdict(&assign.claim, Verdict::Continue, acked)],
        }));
    }
    assert_eq!(log.stdout.len(), bytes.len());
    assert!(log.stdout == bytes);
    assert_eq!(log.exit(), &Exit::Code(0));
    session.send(&ToRunner::ResultAck(assign.claim, ResultVerdict::Recorded));
}

#[test]
fn failure_case_18_an_engine_that_does_not_acknowledge_stops_the_step_not_the_runner() {
    let (world, mut session) = World::start(&["--buffer-bytes", "2000000"]);
    let assign = bash("head -c 20000000 /dev/zero; touch done");
    session.assign(&assign);
    let mut log = Log::default();
    // The credit is one MiB; output beyond it stays on the runner.
    let mut frames = Vec::new();
    while frames.len() < 16 {
        frames.push(session.receive());
    }
    // Another step is served meanwhile, by the same runner.
    session.send(&ToRunner::Assign(Box::new(with_claim("b", 2, bash("echo other")))));
    loop {
        match session.receive() {
            FromRunner::Result(result) if result.claim.attempt.as_str() == "b" => break,
            FromRunner::Event(event) if event.claim == assign.claim => {
                frames.push(FromRunner::Event(event))
            }
            _ => {}
        }
    }
    assert!(!world.workspace().join("done").exists());
    let spilled: u64 = std::fs::read_dir(world.folder().join("state/io"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(spilled < 2_000_000, "{spilled}");
    for frame in frames {
        log.take(frame);
    }
    session.send(&ToRunner::Ack(assign.claim.clone(), log.last));
    while log.result.is_none() {
        match session.receive() {
            FromRunner::Accept(_) => {}
            message => {
                log.take(message);
                session.send(&ToRunner::Ack(assign.claim.clone(), log.last));
            }
        }
    }
    assert_eq!(log.stdout.len(), 20_000_000);
}
