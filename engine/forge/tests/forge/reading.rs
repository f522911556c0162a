//! The samples of `tests/samples`, and of a larger collection next to the checkout if present:
//! every delivery is decoded and fires as written in `expect.jsonl`.

use std::path::{Path, PathBuf};

use plue_forge::{Headers, Ignored, Provider, Reading, Refusal, Secret, decode, verify};
use plue_registry::{MatchInput, decide, spelled};
use proptest::prelude::*;
use serde_json::Value as Json;

/// Folders of samples: in the repository, or a larger collection next to it.
fn samples() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/webhooks");
    [own, shared].into_iter().filter(|folder| folder.join("expect.jsonl").exists()).collect()
}

fn headers(of: &Json) -> Headers {
    let pairs = of.as_object().into_iter().flatten();
    pairs.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn provider(file: &str) -> Provider {
    file.split('/').next().unwrap().parse().unwrap()
}

/// Every field that is expected is there and equal; a `count` stands for a long list.
fn compare(at: &str, expected: &Json, found: &Json, problems: &mut Vec<String>) {
    match (expected, found) {
        (Json::Object(fields), Json::Array(items)) if fields.contains_key("count") => {
            if fields.get("count").and_then(Json::as_u64) != Some(items.len() as u64) {
                problems.push(format!("{at}: {} items instead of {expected}", items.len()));
            }
        }
        (Json::Object(fields), Json::Object(_)) => {
            for (name, value) in fields {
                match found.get(name) {
                    Some(found) => compare(&format!("{at}.{name}"), value, found, problems),
                    None => problems.push(format!("{at}.{name} is not there")),
                }
            }
        }
        (expected, found) if expected == found => {}
        (expected, found) => problems.push(format!("{at}: {found} instead of {expected}")),
    }
}

/// The plain triggers that fire.
fn fires(reading: &Reading) -> Vec<String> {
    let Ok(event) = reading.event() else { return Vec::new() };
    let message = reading.head_message();
    let input = MatchInput { message, ..MatchInput::new(&event) };
    let plain = [
        r#"{"on":"push"}"#,
        r#"{"on":"push","branches":["main"]}"#,
        r#"{"on":"pull_request"}"#,
        r#"{"on":"pull_request","branches":["main"]}"#,
    ];
    let triggers = plain.map(|json| serde_json::from_str(json).unwrap());
    triggers.iter().filter(|one| decide(one, &input).fires()).map(spelled).collect()
}

#[test]
fn row_1_27_every_sample_reads_and_fires_as_expected() {
    let mut problems = Vec::new();
    let mut count = 0;
    for folder in samples() {
        let lines = std::fs::read_to_string(folder.join("expect.jsonl")).unwrap();
        for line in lines.lines() {
            let line: Json = serde_json::from_str(line).unwrap();
            let file = line["file"].as_str().unwrap();
            let body = std::fs::read(folder.join(file)).unwrap();
            let headers = headers(&line["headers"]);
            count += 1;
            if let Some(secret) = line["secret"].as_str() {
                let verified = verify(provider(file), &[Secret::new(secret)], &headers, &body, 0);
                assert_eq!(verified, Ok(()), "{file}");
            }
            let read = decode(provider(file), &headers, &body);
            let http = match &read {
                Ok(_) => "2xx".to_owned(),
                Err(refusal) => refusal.status().to_string(),
            };
            assert_eq!(line["http"].as_str(), Some(http.as_str()), "{file}: {read:?}");
            let fires = read.as_ref().map(fires).unwrap_or_default();
            // A refused delivery has none, and the collection leaves the field out.
            let expected = line.get("fires").cloned().unwrap_or_else(|| Json::Array(Vec::new()));
            assert_eq!(expected, serde_json::json!(fires), "{file}");
            if let Ok(reading) = read {
                let found = serde_json::to_value(&reading).unwrap();
                compare(file, &line["expect"], &found, &mut problems);
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(count > 20, "only {count} samples");
}

#[test]
fn row_1_27_the_signature_vectors_hold() {
    for folder in samples() {
        let text = std::fs::read_to_string(folder.join("signature_vectors.json")).unwrap();
        let vectors: Vec<Json> = serde_json::from_str(&text).unwrap();
        for vector in vectors {
            let name = vector["name"].as_str().unwrap();
            let scheme = vector["scheme"].as_str().unwrap();
            let text = |key: &str| vector[key].as_str().map(str::to_owned);
            let header = scheme.split(' ').next().unwrap();
            let mut headers = Headers::default();
            if let Some(value) = text("header") {
                headers.push(header, value);
            }
            for extra in ["webhook-id", "webhook-timestamp", "x-gitlab-token"] {
                if let Some(value) = text(extra) {
                    headers.push(extra, value);
                }
            }
            let provider = match header {
                "X-Hub-Signature-256" => Provider::GitHub,
                "X-Gitea-Signature" | "X-Gogs-Signature" => Provider::Gitea,
                "X-Forgejo-Signature" => Provider::Forgejo,
                "X-Gitlab-Token" | "webhook-signature" => Provider::GitLab,
                other => panic!("{name}: {other}"),
            };
            let secrets = [Secret::new(text("secret").unwrap_or_default())];
            let body = text("body").unwrap();
            let now = vector["clock"].as_i64().unwrap_or_default();
            let found = verify(provider, &secrets, &headers, body.as_bytes(), now);
            assert_eq!(vector["valid"].as_bool(), Some(found.is_ok()), "{name}: {found:?}");
        }
    }
}

#[test]
fn a_body_above_the_limit_is_refused() {
    let body = vec![b' '; plue_forge::limits::MAX_BODY_BYTES + 1];
    let headers: Headers = [("X-GitHub-Event", "push")].into_iter().collect();
    assert_eq!(decode(Provider::GitHub, &headers, &body), Err(Refusal::TooLarge));
}

fn event_headers(provider: Provider, name: &str) -> Headers {
    let header = match provider {
        Provider::GitHub => "X-GitHub-Event",
        Provider::GitLab => "X-Gitlab-Event",
        Provider::Gitea => "X-Gitea-Event",
        Provider::Forgejo => "X-Forgejo-Event",
    };
    [(header, name)].into_iter().collect()
}

fn read(provider: Provider, event: &str, body: &str) -> Reading {
    decode(provider, &event_headers(provider, event), body.as_bytes()).unwrap()
}

#[test]
fn the_forge_header_names_the_event() {
    let headers: Headers =
        [("x-github-event", "push"), ("X-FORGEJO-EVENT", "ping")].into_iter().collect();
    assert_eq!(headers.event_name(Provider::Forgejo), Some("ping"));
    assert_eq!(headers.event_name(Provider::GitHub), Some("push"));
    assert_eq!(headers.event_name(Provider::GitLab), None);
    let twice: Headers =
        [("X-GitHub-Event", "push"), ("x-github-event", "ping")].into_iter().collect();
    assert_eq!(decode(Provider::GitHub, &twice, b"{}"), Err(Refusal::NoEventName));
}

#[test]
fn wrong_own_signatures_are_refused_despite_copies() {
    let right = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let secrets = [Secret::new("It's a Secret to Everybody")];
    let check = |pairs: &[(&str, &str)]| {
        let headers: Headers = pairs.iter().copied().collect();
        verify(Provider::Forgejo, &secrets, &headers, b"Hello, World!", 0)
    };
    let hub = format!("sha256={right}");
    assert_eq!(check(&[("X-Hub-Signature-256", &hub)]), Ok(()));
    assert_eq!(check(&[("X-Forgejo-Signature", right), ("X-Gitea-Signature", "00")]), Ok(()));
    assert!(check(&[("X-Forgejo-Signature", "00"), ("X-Hub-Signature-256", &hub)]).is_err());
    assert!(check(&[("X-Forgejo-Signature", ""), ("X-Gitea-Signature", right)]).is_err());
    let twice = [("X-Forgejo-Signature", right), ("X-Forgejo-Signature", right)];
    assert!(check(&twice).is_err());
}

#[test]
fn several_secrets_allow_rotation_without_a_gap() {
    let headers: Headers = [("X-Gitlab-Token", "old")].into_iter().collect();
    let check = |secrets: &[&str]| {
        let secrets: Vec<Secret> = secrets.iter().map(|&secret| Secret::new(secret)).collect();
        verify(Provider::GitLab, &secrets, &headers, b"", 0)
    };
    assert_eq!(check(&["new", "old"]), Ok(()));
    assert_eq!(check(&["", "old"]), Ok(()));
    assert_eq!(check(&["new"]), Err(Refusal::BadSignature("x-gitlab-token")));
    assert_eq!(check(&[]), Err(Refusal::NoSecret));
    assert_eq!(check(&["", " "]), Err(Refusal::NoSecret));
    assert!(!format!("{:?} {headers:?}", Secret::new("s3cret")).contains("s3cret"));
}

#[test]
fn redeliveries_share_the_first_id() {
    let id = |provider, pairs: &[(&str, &str)], body: &str| {
        pairs.iter().copied().collect::<Headers>().delivery_id(provider, body.as_bytes())
    };
    assert_eq!(id(Provider::GitHub, &[("X-GitHub-Delivery", "g-1")], "x"), "g-1");
    let gitlab = [("X-Gitlab-Webhook-UUID", "hook"), ("Idempotency-Key", "k-1")];
    assert_eq!(id(Provider::GitLab, &gitlab, "x"), "k-1");
    let shared = [("X-Gitlab-Event-UUID", "e-1")];
    assert_eq!(id(Provider::GitLab, &shared, "x"), id(Provider::GitLab, &shared, "x"));
    assert_ne!(id(Provider::GitLab, &shared, "x"), id(Provider::GitLab, &shared, "y"));
    assert_ne!(id(Provider::Gitea, &[], "x"), id(Provider::Gitea, &[], "y"));
    let long = "x".repeat(10_000);
    assert!(id(Provider::GitHub, &[("X-GitHub-Delivery", &long)], "").len() <= 128);
    assert!(id(Provider::GitHub, &[("X-GitHub-Delivery", "a b")], "").starts_with("sha256:"));
}

#[test]
fn pull_requests_of_unknown_origin_count_as_forks() {
    let body = r#"{"action":"opened","pull_request":{"number":1,"head":{"ref":"f","sha":"1"},
        "base":{"ref":"main"}},"repository":{"full_name":"o/r"}}"#;
    let reading = read(Provider::Gitea, "pull_request", body);
    assert_eq!(serde_json::to_value(&reading).unwrap()["pr"]["from_fork"], Json::Null);
    let event = reading.event().unwrap();
    assert_eq!((event.branch, event.git_ref.as_deref()), (None, Some("refs/pull/1/head")));
    let request = event.pull_request.unwrap();
    assert!(request.fork);
    assert!(!request.draft);
}

#[test]
fn fork_branches_never_count_as_own() {
    let body = |head: &str| {
        format!(
            r#"{{"action":"opened","pull_request":{{"number":7,
            "base":{{"ref":"main","repo":{{"id":1}}}},
            "head":{{"ref":"main","sha":"1","repo":{head}}}}},
            "repository":{{"id":1,"full_name":"o/r"}}}}"#
        )
    };
    // Only ids identify our repository: neither the name nor a flag does.
    for fork in [
        r#"{"id":2,"full_name":"eve/r"}"#,
        r#"{"id":2,"full_name":"o/r","fork":false}"#,
        r#"{"full_name":"o/r"}"#,
        "null",
    ] {
        let event = read(Provider::GitHub, "pull_request", &body(fork)).event().unwrap();
        assert!(event.pull_request.unwrap().fork, "{fork}");
    }
    let fork = body(r#"{"id":2,"full_name":"eve/r"}"#);
    let event = read(Provider::GitHub, "pull_request", &fork).event().unwrap();
    assert_eq!((event.branch, event.git_ref.as_deref()), (None, Some("refs/pull/7/head")));
    assert_eq!(event.pull_request.unwrap().head.git_ref, "main");
    let event = read(Provider::GitHub, "pull_request", &body(r#"{"id":1,"full_name":"O/R"}"#))
        .event()
        .unwrap();
    assert_eq!(event.branch.as_deref(), Some("main"));
    assert_eq!(event.git_ref.as_deref(), Some("refs/heads/main"));
}

#[test]
fn forks_are_recognised_by_repository_ids() {
    let gitlab = |source: u64, target: u64, own: &str| {
        format!(
            r#"{{"object_kind":"merge_request","project":{{{own}"path_with_namespace":"o/r"}},
            "object_attributes":{{"iid":7,"action":"open","source_project_id":{source},
            "target_project_id":{target},"last_commit":{{"id":"aa"}}}}}}"#
        )
    };
    let is_fork = |provider, event: &str, body: &str| {
        read(provider, event, body).event().unwrap().pull_request.unwrap().fork
    };
    let of = |body: &str| is_fork(Provider::GitLab, "Merge Request Hook", body);
    assert!(!of(&gitlab(3, 3, r#""id":3,"#)));
    assert!(of(&gitlab(4, 3, r#""id":3,"#)));
    assert!(of(&gitlab(4, 4, r#""id":3,"#)), "it is about another project");
    assert!(of(&gitlab(3, 3, "")), "nobody knows which project this is");
    let gitea = r#"{"action":"opened","pull_request":{"number":7,"base":{"repo_id":6,"repo":{}},
        "head":{"sha":"aa","repo_id":6,"repo":{}}},"repository":{"id":6,"full_name":"o/r"}}"#;
    assert!(!is_fork(Provider::Gitea, "pull_request", gitea));
    assert!(is_fork(Provider::Gitea, "pull_request", &gitea.replacen("6", "5", 1)));
}

#[test]
fn merge_queues_yield_pull_request_events() {
    let body = r#"{"action":"checks_requested","merge_group":{"head_sha":"aa","base_sha":"bb",
        "head_ref":"refs/heads/gh-readonly-queue/main/pr-7066-0a1b","base_ref":"refs/heads/main"},
        "repository":{"full_name":"o/r"}}"#;
    let event = read(Provider::GitHub, "merge_group", body).event().unwrap();
    let request = event.pull_request.unwrap();
    assert_eq!((request.number, request.fork), (7066, false));
    assert_eq!((request.base.git_ref.as_str(), event.sha.as_deref()), ("main", Some("aa")));
    assert_eq!(event.branch.as_deref(), Some("gh-readonly-queue/main/pr-7066-0a1b"));
}

#[test]
fn ignored_deliveries_have_a_reason() {
    let push = |after: &str, name: &str| {
        format!(r#"{{"ref":"{name}","after":"{after}","repository":{{"full_name":"o/r"}}}}"#)
    };
    let zeros = "0".repeat(40);
    for (event, body, ignored) in [
        ("push", push(&zeros, "refs/heads/x"), Ignored::RefDeleted),
        (
            "push",
            push("aa", "refs/notes/x"),
            Ignored::OtherRef { git_ref: "refs/notes/x".to_owned() },
        ),
        ("create", "{}".to_owned(), Ignored::AlsoAPush),
        ("ping", "{}".to_owned(), Ignored::Ping),
        ("star", "{}".to_owned(), Ignored::NoTrigger { event: "star".to_owned() }),
    ] {
        assert_eq!(read(Provider::GitHub, event, &body).event(), Err(ignored), "{event}");
    }
}

/// JSON that looks like a payload: its keys, with values of any type.
fn payload() -> impl Strategy<Value = Json> {
    const KEYS: &str = "ref|before|after|repository|sender|commits|head_commit|pull_request|head|\
        base|repo|full_name|number|issue|comment|body|action|object_kind|object_attributes|iid|\
        project|path_with_namespace|changes|labels|draft|previous|current|id|message|added|\
        merge_group|head_ref|base_ref|head_sha|login|title|name|user|noteable_type|oldrev";
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        prop_oneof!["refs/(heads|tags)/[a-zé/]{0,6}", "0{40}", "[a-f0-9]{40}", ".{0,8}"]
            .prop_map(Json::from),
        prop_oneof![
            Just("push"),
            Just("tag_push"),
            Just("merge_request"),
            Just("note"),
            Just("update")
        ]
        .prop_map(Json::from),
    ];
    leaf.prop_recursive(5, 80, 12, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            prop::collection::hash_map(KEYS, inner, 0..14)
                .prop_map(|fields| Json::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_payload_panics(provider in 0_usize..4, event in 0_usize..8, payload in payload()) {
        let provider = Provider::ALL[provider];
        let names = match provider {
            Provider::GitLab => ["Push Hook", "Tag Push Hook", "Merge Request Hook", "Note Hook",
                "Issue Hook", "Release Hook", "System Hook", "x"],
            Provider::GitHub | Provider::Gitea | Provider::Forgejo => ["push", "pull_request",
                "issue_comment", "issues", "release", "merge_group", "create", "x"],
        };
        let body = payload.to_string();
        let read = decode(provider, &event_headers(provider, names[event]), body.as_bytes());
        if let Ok(reading) = read {
            let shown = serde_json::to_value(&reading).unwrap();
            prop_assert!(shown.get("kind").is_some());
            if let Ok(event) = reading.event() {
                prop_assert!(!serde_json::to_string(&event).unwrap().contains("\\u0000"));
                let again: plue_plan::Event =
                    serde_json::from_value(serde_json::to_value(&event).unwrap()).unwrap();
                prop_assert_eq!(again, event);
            }
        }
    }

    #[test]
    fn no_bytes_panic(provider in 0_usize..4, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let provider = Provider::ALL[provider];
        let _any = decode(provider, &event_headers(provider, "push"), &body);
        let secrets = [Secret::new("whsec_AAAA"), Secret::new("x")];
        let text = String::from_utf8_lossy(&body).into_owned();
        let headers = [("webhook-signature", text.clone()), ("webhook-id", text.clone()),
            ("webhook-timestamp", text.clone()), ("x-hub-signature-256", text)];
        let headers: Headers = headers.into_iter().collect();
        prop_assert!(verify(provider, &secrets, &headers, &body, i64::MIN).is_err());
    }
}
