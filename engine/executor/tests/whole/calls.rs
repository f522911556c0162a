//! `call` steps against a server of the test, on loopback.

use std::sync::Arc;

use plue_executor::answer::answer_callback;
use plue_flow::{RunStatus, StepStatus};
use plue_plan::{Action, DurationText, Plan, Step, Value, action::Call};
use plue_runtime::{Clock, Phase, Shutdown};
use plue_store::CallbackAnswered;
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Mutex,
};

use super::world::{World, from_fork, in_repository};

/// Answers each request with the next of the given responses and keeps what was asked.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(responses: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = asked.clone();
        plue_runtime::Tasks::new().spawn("server", async move {
            for response in responses {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read(&mut stream).await;
                kept.lock().await.push(request);
                stream.write_all(response.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        Self { address, asked }
    }
}

async fn read(stream: &mut tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        let count = stream.read(&mut chunk).await.unwrap();
        assert!(count > 0, "cut off: {text}");
        bytes.extend_from_slice(&chunk[..count]);
    }
}

fn response(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

fn redirect(to: &str) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

fn call(url: &str, body: Option<Json>, callback: bool) -> Step {
    let call = Call {
        url: Value::text(url),
        method: None,
        headers: [("X-Key".to_owned(), Value::secret("TOKEN"))].into(),
        body: body.map(Value),
        callback,
    };
    Step::new("c", Action::Call(call))
}

async fn world() -> World {
    let mut world = World::new().await;
    world.secrets.0.insert("TOKEN".to_owned(), b"s3cret".to_vec());
    world
}

#[tokio::test]
async fn answers_are_outputs_requests_carry_key_and_secret() {
    let world = world().await;
    let server = Server::start(vec![response("200 OK", "application/json", r#"{"n":3}"#)]).await;
    let (run, status) = world.run(vec![call(&server.address, Some(json!({"a": 1})), false)]).await;
    assert_eq!(status, RunStatus::Success, "{}", world.why(&run, "c").await);
    let output = world.output(&run, "c").await;
    assert_eq!((&output["status"], &output["body"]["n"]), (&json!(200), &json!(3)));
    let asked = server.asked.lock().await[0].clone();
    assert!(asked.starts_with("POST / HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("idempotency-key: {run}:c:1\r\n")), "{asked}");
    assert!(asked.contains("x-key: s3cret\r\n") && asked.ends_with(r#"{"a":1}"#), "{asked}");
    assert!(!asked.contains("plue-callback-token"), "{asked}");
    let facts = serde_json::to_string(&world.facts(&run).await).unwrap();
    assert!(!facts.contains("s3cret"));
    world.check_rows(&run).await;
}

#[tokio::test]
async fn answers_that_repeat_a_secret_are_masked() {
    let world = world().await;
    let echo = r#"{"seen":{"x-key":"s3cret"},"all":["key=s3cret"]}"#;
    let refusal = response("403 No", "text/plain", "s3cret may not");
    let responses = vec![response("200 OK", "application/json", echo), refusal];
    let server = Server::start(responses).await;
    for (status, hidden) in [(RunStatus::Success, "key=***"), (RunStatus::Failed, "*** may not")] {
        let (run, ended) = world.run(vec![call(&server.address, None, false)]).await;
        assert_eq!(ended, status, "{}", world.why(&run, "c").await);
        let facts = serde_json::to_string(&world.facts(&run).await).unwrap();
        assert!(facts.contains(hidden) && !facts.contains("s3cret"), "{facts}");
    }
    assert!(server.asked.lock().await[0].contains("x-key: s3cret\r\n"), "sent as it is");
}

#[tokio::test]
async fn server_errors_are_retried_with_the_same_key() {
    let world = world().await;
    let responses =
        vec![response("503 Busy", "text/plain", "later"), response("200 OK", "text/plain", "now")];
    let server = Server::start(responses).await;
    let mut step = call(&server.address, None, false);
    let delay = DurationText::new("1ms");
    step.options.retry = Some(plue_plan::policy::Retry { delay, ..Default::default() });
    let (run, status) = world.run(vec![step]).await;
    assert_eq!(status, RunStatus::Success);
    assert_eq!(world.output(&run, "c").await["body"], "now");
    let asked = server.asked.lock().await.clone();
    let key =
        |text: &String| text.lines().find(|l| l.starts_with("idempotency-key")).map(str::to_owned);
    assert_eq!(key(&asked[0]), key(&asked[1]));
}

#[tokio::test]
async fn calls_to_private_addresses_are_refused() {
    let world = world().await;
    let (run, status) = world.run(vec![call("http://127.0.0.2:9/", None, false)]).await;
    assert_eq!(status, RunStatus::Failed);
    let why = world.why(&run, "c").await;
    assert!(why.contains("PLUE-R0002") && why.contains("not public"), "{why}");
}

#[tokio::test]
async fn redirects_to_private_addresses_are_refused() {
    let world = world().await;
    let server = Server::start(vec![redirect("http://169.254.169.254/latest/meta-data")]).await;
    let (run, status) = world.run(vec![call(&server.address, None, false)]).await;
    assert_eq!(status, RunStatus::Failed);
    let why = world.why(&run, "c").await;
    assert!(why.contains("PLUE-R0002") && why.contains("169.254.169.254"), "{why}");
}

#[tokio::test]
async fn malformed_calls_are_refused_with_a_code() {
    let world = world().await;
    let server = Server::start(vec![redirect("http://user:word@127.0.0.1:9/")]).await;
    let port = server.address.rsplit(':').next().unwrap();
    for (url, header, code) in [
        ("http://2130706434:9/".to_owned(), "x", "PLUE-R0002"),
        ("http://[::ffff:127.0.0.2]:9/".to_owned(), "x", "PLUE-R0002"),
        (format!("http://hooks.example@127.0.0.1:{port}/"), "x", "PLUE-R0003"),
        (format!("http://127.0.0.1:{port}/\r\nx-admin: 1"), "x", "PLUE-R0003"),
        ("file:///etc/passwd".to_owned(), "x", "PLUE-R0003"),
        (server.address.clone(), "x\r\nx-admin: 1", "PLUE-R0004"),
    ] {
        let mut step = call(&url, None, false);
        if let Action::Call(call) = &mut step.action {
            // Known only when it runs: what stands in the plan is refused with the plan.
            call.url = Value::expr(format!("{url:?}"));
            call.headers.insert("X-Note".to_owned(), Value::text(header));
        }
        let (run, status) = world.run(vec![step]).await;
        let why = world.why(&run, "c").await;
        assert!(status == RunStatus::Failed && why.contains(code), "{url}: {why}");
        assert!(!why.contains("admin: 1") || code == "PLUE-R0003", "{why}");
        assert!(server.asked.lock().await.is_empty(), "{url}");
    }
    let (run, _) = world.run(vec![call(&server.address, None, false)]).await;
    let why = world.why(&run, "c").await;
    assert!(why.contains("PLUE-R0003"), "where a redirect leads: {why}");
}

#[tokio::test]
async fn redirects_to_other_hosts_drop_headers() {
    let world = world().await;
    let there = Server::start(vec![response("200 OK", "text/plain", "there")]).await;
    let here = Server::start(vec![redirect(&there.address)]).await;
    let (run, status) = world.run(vec![call(&here.address, None, false)]).await;
    assert_eq!(status, RunStatus::Success, "{}", world.why(&run, "c").await);
    let asked = there.asked.lock().await[0].clone();
    assert!(!asked.contains("s3cret") && !asked.contains("idempotency-key"), "{asked}");
}

#[tokio::test]
async fn redirects_end_somewhere() {
    let world = world().await;
    let server = Server::start(vec![redirect("/again"); 6]).await;
    let (run, status) = world.run(vec![call(&server.address, None, false)]).await;
    assert_eq!(status, RunStatus::Failed);
    assert!(world.why(&run, "c").await.contains("redirects"));
}

#[tokio::test]
async fn silent_servers_end_at_the_timeout() {
    let world = world().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut step = call(&format!("http://{}", listener.local_addr().unwrap()), None, false);
    step.options.timeout = Some(DurationText::new("100ms"));
    let (run, status) = world.run(vec![step]).await;
    assert_eq!(status, RunStatus::Failed);
    assert_eq!(world.step(&run, "c").await, StepStatus::TimedOut);
}

#[tokio::test]
async fn accepted_calls_wait_for_one_callback() {
    let world = world().await;
    let server = Server::start(vec![response("202 Accepted", "text/plain", "")]).await;
    let run = world.submit(Plan::new("t", vec![call(&server.address, None, true)])).await;
    let handle = world.begin(&run).await;
    world.until(&run, "c", StepStatus::Waiting).await;
    let asked = server.asked.lock().await[0].clone();
    let token = asked.lines().find_map(|line| line.strip_prefix("plue-callback-token: ")).unwrap();
    let now = Clock::real().now();
    let unknown = answer_callback(&world.store, "0000", json!(1), now).await.unwrap();
    assert_eq!(unknown, CallbackAnswered::Unknown);
    let taken = answer_callback(&world.store, token, json!({"ok": true}), now).await.unwrap();
    assert_eq!(taken, CallbackAnswered::Taken { run: run.clone() });
    let again = answer_callback(&world.store, token, json!({"ok": false}), now).await.unwrap();
    assert_eq!(again, CallbackAnswered::Duplicate { run: run.clone() });
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Success);
    assert_eq!(world.output(&run, "c").await, json!({"ok": true}));
    let facts = serde_json::to_string(&world.facts(&run).await).unwrap();
    assert!(!facts.contains(token), "the token is nowhere but with the callee");
}

#[tokio::test]
async fn calls_of_dead_engines_repeat_with_their_key() {
    let world = world().await;
    let responses =
        [response("200 OK", "text/plain", "one"), response("200 OK", "text/plain", "two")];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let run =
        world.submit(Plan::new("t", vec![call(&format!("http://{address}"), None, false)])).await;
    let (shutdown, stop) = Shutdown::new();
    let secrets = Arc::new(world.secrets.clone());
    let handle = world.engine.drive(&run, secrets, stop).await.unwrap();
    let (mut first, _) = listener.accept().await.unwrap();
    let asked = read(&mut first).await;
    shutdown.advance(Phase::Aborting);
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Running);
    drop((first, listener));
    let server = TcpListener::bind(address).await.unwrap();
    let secrets = world.secrets.clone();
    let mut again = World::at(world.directory).await;
    again.secrets = secrets;
    let served = plue_runtime::Tasks::new().spawn("server", async move {
        let (mut stream, _) = server.accept().await.unwrap();
        let asked = read(&mut stream).await;
        stream.write_all(responses[1].as_bytes()).await.unwrap();
        asked
    });
    assert_eq!(again.drive(&run).await, RunStatus::Success);
    let key = format!("idempotency-key: {run}:c:1\r\n");
    assert!(asked.contains(&key) && served.await.unwrap().contains(&key));
    assert_eq!(again.output(&run, "c").await["body"], "two");
}

#[tokio::test]
async fn private_exceptions_exclude_untrusted_runs() {
    let mut world = World::new().await;
    let server = Server::start(vec![response("200 OK", "text/plain", "secret")]).await;
    let step = || {
        let mut step = call(&server.address, None, false);
        let Action::Call(call) = &mut step.action else { unreachable!() };
        call.headers.clear();
        step
    };
    for (untrusted, event) in [(false, from_fork(7)), (true, in_repository("acme/shop"))] {
        world.untrusted = untrusted;
        let run = world.submit_for(Plan::new("t", vec![step()]), event).await;
        assert_eq!(world.drive(&run).await, RunStatus::Failed);
        let why = world.why(&run, "c").await;
        assert!(why.contains("PLUE-R0002") && why.contains("not public"), "{why}");
    }
    assert!(server.asked.lock().await.is_empty());
    world.untrusted = false;
    let (_, status) = world.run(vec![step()]).await;
    assert_eq!(status, RunStatus::Success);
}
