//! Traces: a real server, a real run, and a collector on this machine that decodes OTLP.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
};

use serde_json::{Value as Json, json};

use crate::{
    serve::Served,
    support::{Bench, SMALL},
};

const WORKFLOW: &str = r#"
def workflow(ctx):
    return Plan(
        name="CI",
        triggers=[Trigger.on_push(branch="main"), Trigger.on_manual()],
        on_failure="continue",
        steps=[
            Step.bash("test", "echo trace $TRACEPARENT; echo a word that is $TOKEN", secrets=["TOKEN"]),
            Step.bash("flaky", "test -e again || { touch again; exit 3; }"),
        ],
    )
"#;

/// A collector. It answers while the test waits for what it is sent.
struct Collector {
    listener: TcpListener,
    /// Bodies as they came.
    bodies: RefCell<Vec<String>>,
    authorised: RefCell<Vec<String>>,
}

/// A span as it came.
#[derive(Debug, Clone)]
struct Span(Json);

// === impl Collector ===

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { listener, bodies: RefCell::default(), authorised: RefCell::default() }
    }

    fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// All spans once there are so many.
    fn spans(&self, count: usize) -> Vec<Span> {
        loop {
            let spans: Vec<Span> =
                self.bodies.borrow().iter().flat_map(|body| read(body)).collect();
            if spans.len() >= count {
                return spans;
            }
            self.accept();
        }
    }

    fn accept(&self) {
        let mut reader = BufReader::new(self.listener.accept().unwrap().0);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.starts_with("POST /v1/traces HTTP/1.1"), "{line}");
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        assert_eq!(headers["content-type"], "application/json");
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let stream: &mut TcpStream = reader.get_mut();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
        write!(stream, "{head}\r\ncontent-length: 2\r\n\r\n{{}}").unwrap();
        self.authorised.borrow_mut().extend(headers.remove("authorization"));
        self.bodies.borrow_mut().push(String::from_utf8(body).unwrap());
    }
}

/// The spans of a request (`ExportTraceServiceRequest` in OTLP's JSON).
fn read(body: &str) -> Vec<Span> {
    let body: Json = serde_json::from_str(body).unwrap();
    let mut spans = Vec::new();
    for of_resource in body["resourceSpans"].as_array().unwrap() {
        let service = attributes(&of_resource["resource"]);
        assert_eq!(service["service.name"], "plue");
        for of_scope in of_resource["scopeSpans"].as_array().unwrap() {
            spans.extend(of_scope["spans"].as_array().unwrap().iter().cloned().map(Span));
        }
    }
    spans
}

fn attributes(of: &Json) -> BTreeMap<String, String> {
    let pairs = of["attributes"].as_array().unwrap().iter();
    let text = |value: &Json| {
        let value = value.get("stringValue").or(value.get("intValue")).unwrap();
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    };
    pairs.map(|pair| (pair["key"].as_str().unwrap().to_owned(), text(&pair["value"]))).collect()
}

// === impl Span ===

impl Span {
    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    fn nanos(&self, name: &str) -> u128 {
        self.text(name).parse().unwrap()
    }
}

/// The spans of one kind, by name: 2 is `SERVER`, 1 `INTERNAL`.
fn of_kind(spans: &[Span], kind: u64) -> Vec<&Span> {
    spans.iter().filter(|span| span.0["kind"] == kind).collect()
}

/// The span of an attempt lies in that of its run and has the attributes of the convention.
fn assert_is_task(task: &Span, root: &Span, id: &str, url: &str) {
    assert_eq!(task.text("traceId"), root.text("traceId"));
    assert_eq!(task.text("parentSpanId"), root.text("spanId"));
    assert!(task.nanos("startTimeUnixNano") >= root.nanos("startTimeUnixNano"));
    assert!(task.nanos("endTimeUnixNano") <= root.nanos("endTimeUnixNano"));
    let recorded = attributes(&task.0);
    let (name, well) = (task.text("name"), task.text("name") == "test");
    let attempt = format!("{id}:{name}:1:1");
    assert_eq!(recorded["cicd.pipeline.task.name"], name);
    assert_eq!(recorded["cicd.pipeline.task.type"], "bash");
    assert_eq!(recorded["cicd.pipeline.task.run.id"], attempt);
    assert_eq!(recorded["cicd.pipeline.task.run.url.full"], format!("{url}/attempts/{attempt}"));
    assert_eq!(recorded["cicd.pipeline.task.run.result"], if well { "success" } else { "failure" });
    assert_eq!(recorded.get("error.type").map(String::as_str), (!well).then_some("exit"));
    assert!(!recorded["cicd.worker.id"].is_empty());
}

#[test]
fn runs_are_conventional_traces_that_retries_extend() {
    let collector = Collector::start();
    let url = collector.url();
    let served = Served::with(&["--traces", &url, "--public-url", "https://ci.example/"]);
    served.bench.write(".plue.py", WORKFLOW);
    served.push();
    let run = served.run(1);
    let id = run["id"].as_str().unwrap().to_owned();
    let spans = collector.spans(3);
    let root = of_kind(&spans, 2)[0];
    let head = served.bench.git(&["rev-parse", "HEAD"]);
    let recorded = attributes(&root.0);
    // The table of opentelemetry.io/docs/specs/semconv/cicd/cicd-spans, and of its resources.
    let url = format!("https://ci.example/runs/{id}");
    let expected = [
        ("cicd.pipeline.name", "CI"),
        ("cicd.pipeline.action.name", "RUN"),
        ("cicd.pipeline.run.id", &id),
        ("cicd.pipeline.run.url.full", &url),
        ("cicd.pipeline.result", "failure"),
        ("error.type", "step_failed"),
        ("vcs.repository.name", "acme/app"),
        ("vcs.ref.head.name", "main"),
        ("vcs.ref.head.type", "branch"),
        ("vcs.ref.head.revision", head.trim()),
        ("plue.event.type", "push"),
    ];
    for (name, value) in expected {
        assert_eq!(recorded.get(name).map(String::as_str), Some(value), "{name} in {recorded:#?}");
    }
    assert_eq!((root.text("name"), root.text("parentSpanId")), ("RUN CI", ""));
    assert_eq!(root.0["status"]["code"], 2);
    let states: Vec<_> = root.0["events"].as_array().unwrap().iter().map(attributes).collect();
    let states: Vec<_> = states.iter().map(|one| one["cicd.pipeline.run.state"].as_str()).collect();
    assert_eq!(states, ["pending", "executing"]);
    let tasks = of_kind(&spans, 1);
    assert_eq!(tasks.len(), 2);
    for task in &tasks {
        assert_is_task(task, root, &id, &url);
    }
    let test = tasks.iter().find(|task| task.text("name") == "test").unwrap();
    let word = format!("00-{}-{}-01", test.text("traceId"), test.text("spanId"));
    assert_eq!(served.log_of(&run, "test"), format!("trace {word}\na word that is ***\n"));
    // Output of steps never reaches a collector.
    let body = collector.bodies.borrow().concat();
    assert!(!body.contains("hunter22") && !body.contains("a word that is"), "{body}");

    let (status, answer) =
        served.ask("POST", &format!("/api/v1/runs/{id}/retry"), Some(&json!({"files": "keep"})));
    assert!(status < 300, "{answer}");
    let spans = collector.spans(5);
    assert_eq!(spans.len(), 5, "nothing is told twice");
    let roots = of_kind(&spans, 2);
    assert_eq!(roots[1].text("traceId"), root.text("traceId"));
    assert_eq!(roots[1].text("parentSpanId"), root.text("spanId"));
    let recorded = attributes(&roots[1].0);
    assert_eq!(
        (&*recorded["cicd.pipeline.result"], &*recorded["plue.run.retry"]),
        ("success", "1")
    );
    let ids: std::collections::BTreeSet<_> = spans.iter().map(|span| span.text("spanId")).collect();
    assert_eq!(ids.len(), 5);
}

#[test]
fn runs_continue_the_trace_of_their_request() {
    let collector = Collector::start();
    let headers = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(headers.path(), "# of the collector\nAuthorization: Bearer c0llect\n").unwrap();
    let served = Served::with(&["--traces", &collector.url()]);
    let mut served = served;
    served.bench.write("unused", "");
    let config = served.bench.home().join(".config/plue/config.toml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    let text = format!("[traces]\nsample = 0\nheaders_file = {:?}\n", headers.path());
    std::fs::write(config, text).unwrap();
    served.server.kill().unwrap();
    served.server.wait().unwrap();
    served.serve();
    served
        .bench
        .write(".plue.py", SMALL.replace("Small\",", "Small\", triggers=[Trigger.on_push()],"));
    served.push();
    // The push has no trace context, and none is sampled.
    served.run(1);
    let body = r#"{"repository": "acme/app", "workflow": "Small"}"#;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut stream = TcpStream::connect(&served.address).unwrap();
    write!(
        stream,
        "POST /api/v1/runs HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
         traceparent: {parent}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        served.token,
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let spans = collector.spans(2);
    for span in &spans {
        assert_eq!(span.text("traceId"), "4bf92f3577b34da6a3ce929d0e0e4736");
    }
    assert_eq!(of_kind(&spans, 2)[0].text("parentSpanId"), "00f067aa0ba902b7");
    assert_eq!(*collector.authorised.borrow(), ["Bearer c0llect"]);
}

#[test]
fn absent_collectors_only_raise_a_count() {
    // Bound and closed again: a port without a listener.
    let gone = Collector::start().url();
    let mut served = Served::with(&["--traces", &gone]);
    served
        .bench
        .write(".plue.py", SMALL.replace("Small\",", "Small\", triggers=[Trigger.on_push()],"));
    served.push();
    assert_eq!(served.run(1)["status"], "success");
    let failed = "plue_traces_total{outcome=\"failed\"} 1";
    loop {
        let (status, metrics) = served.ask("GET", "/metrics", None);
        if status == 200 && metrics.lines().any(|line| line == failed) {
            break;
        }
    }
    let pid = served.server.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(served.server.wait().unwrap().code(), Some(0));
    // The same on this machine, without a server.
    let bench = Bench::with(SMALL);
    bench
        .command(&["run"])
        .env("PLUE_TRACES_ENDPOINT", &gone)
        .status()
        .map(|s| assert!(s.success()))
        .unwrap();
    let nonsense = ["serve", "--traces", "collector:4318"];
    bench.plue(&nonsense).ends(2).reports(&["traces.endpoint", "http"]);
}

#[test]
fn local_runs_are_traced_if_configured() {
    let collector = Collector::start();
    let bench = Bench::with(SMALL);
    let mut run = bench.command(&["run"]);
    let mut run = run.env("PLUE_TRACES_ENDPOINT", collector.url()).spawn().unwrap();
    let spans = collector.spans(2);
    assert!(run.wait().unwrap().success());
    assert_eq!(of_kind(&spans, 2)[0].text("name"), "RUN Small");
}
