//! Scripts and recorded streams of Claude, each through the program, as its description requires.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::{
    scripted::Scripted,
    support::{Bench, CliOutput},
};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/claude-scripts");
const STREAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../llm/tests/sse");
/// Bytes of one write to the connection; 0 is the whole stream.
const PIECES: [u32; 3] = [0, 1, 7];

/// A run of one Claude step with the tool `bash` against a script.
struct Played {
    claude: Scripted,
    bench: Bench,
    run: CliOutput,
}

// === impl Played ===

impl Played {
    fn script(name: &str) -> Self {
        let claude = Scripted::new(&read(&Path::new(SCRIPTS).join(name)));
        let step = "Step.llm('ask', prompt='Go.', tools=['bash'])";
        let bench =
            Bench::with(&format!("def workflow():\n    return Plan(name='Ask', steps=[{step}])\n"));
        let run = claude.plue(&bench, &["run"]);
        Self { claude, bench, run }
    }

    /// The step succeeded with this output after so many requests, none against the API's rules.
    #[track_caller]
    fn gives(self, output: &str, requests: u64) -> Self {
        let played = self.ends(0, requests);
        assert_eq!(played.step()["output"], output);
        played
    }

    #[track_caller]
    fn ends(self, code: i32, requests: u64) -> Self {
        let run = self.run.ends(code);
        let state = self.claude.state();
        assert_eq!(state["violations"], json!([]), "{state}");
        assert_eq!(state["requests"], requests, "{state}");
        Self { run, ..self }
    }

    fn step(&self) -> Json {
        let status = self.bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
        status["steps"][0].clone()
    }

    fn log(&self) -> String {
        self.bench.plue(&["logs", "last", "ask"]).ends(0).stdout
    }

    /// Every request that the server had, in order.
    fn requests(&self) -> Vec<Json> {
        let log = self.claude.request("GET", "/_fake/log", "");
        serde_json::from_str(&log).unwrap()
    }
}

fn read(path: &Path) -> Json {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_script_has_a_test() {
    let mut names: Vec<String> = std::fs::read_dir(SCRIPTS)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let tests = include_str!("claude_scripts.rs");
    let untested: Vec<_> =
        names.iter().filter(|it| !tests.contains(&format!("(\"{it}\")"))).collect();
    assert!(names.len() >= 6 && untested.is_empty(), "{untested:?}");
}

#[test]
fn scripted_texts_are_streamed_and_counted() {
    let played = Played::script("01_text.json").gives("All good.", 1);
    let usage = &played.step()["usage"];
    assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(100), &json!(7)));
    assert!(played.log().contains("All good."), "{}", played.log());
}

#[test]
fn scripted_tools_run_once() {
    let played = Played::script("02_one_tool.json").gives("It says hello.", 2);
    let content = &played.requests()[1]["body"]["messages"][2]["content"];
    assert_eq!(content.as_array().map(Vec::len), Some(1), "{content}");
    assert!(content[0].to_string().contains("hello"), "{content}");
    assert_eq!(played.log().matches("✓ bash").count(), 1, "{}", played.log());
}

#[test]
fn scripted_parallel_tools_answer_together() {
    let played = Played::script("03_two_parallel_tools.json").gives("done", 2);
    let content = &played.requests()[1]["body"]["messages"][2]["content"];
    for (at, id, word) in [(0, "toolu_A", "one"), (1, "toolu_B", "two")] {
        assert_eq!(content[at]["tool_use_id"], id, "{content}");
        assert!(content[at].to_string().contains(word), "{content}");
    }
}

#[test]
fn scripted_rate_limits_are_waited_for() {
    let played = Played::script("07_rate_limited.json").gives("ok", 2);
    let requests = played.requests();
    let at = |request: &Json| request["at"].as_f64().unwrap();
    let waited = at(&requests[1]) - at(&requests[0]);
    assert!(waited >= 2.0, "waited {waited} s");
}

#[test]
fn scripted_stream_errors_leave_no_text() {
    let played = Played::script("11_error_in_stream.json").gives("Final answer.", 2);
    let log = played.log();
    let (broken, whole) = log.split_once("[plue: the answer broke off").unwrap();
    assert!(broken.contains("Partial") && !whole.contains("Partial"), "{log}");
}

#[test]
fn scripted_endless_tools_are_stopped() {
    let played = Played::script("17_endless_tools.json").ends(7, 3);
    played.bench.plue(&["explain", "last", "ask"]).shows(&["PLUE-L0005", "again and again"]);
}

/// One sample in one size of pieces.
struct Streamed {
    step: String,
    file: PathBuf,
    piece: u32,
    expect: Json,
}

// === impl Streamed ===

impl Streamed {
    fn all() -> Vec<Self> {
        let manifest = read(&Path::new(STREAMS).join("manifest.json"));
        let sample = |sample: &Json, piece| {
            let file = sample["file"].as_str().unwrap();
            let step = format!("{}.{piece}", file.trim_end_matches(".txt"));
            let expect = sample["expect"].clone();
            Self { step, file: Path::new(STREAMS).join(file), piece, expect }
        };
        let samples = manifest.as_array().unwrap();
        samples.iter().flat_map(|one| PIECES.map(|piece| sample(one, piece))).collect()
    }

    fn has_calls(&self) -> bool {
        self.expect["stop_reason"] == "tool_use"
    }

    /// The turns of the step; each belongs to its prompt.
    fn turns(&self) -> Vec<Json> {
        let mine = json!({ "path": "messages.0.content.0.text", "equals": self.step });
        let raw = json!({
            "match": [mine], "raw_sse_file": self.file, "wire_chunk": self.piece,
        });
        let mut turns = vec![raw];
        if self.has_calls() {
            let sent_back =
                json!({ "path": "messages.1.content", "equals": self.expect["content"] });
            turns.push(json!({ "match": [mine], "text": "Called.", "expect": [sent_back] }));
        } else if self.expect["result"] != "message" {
            let alone = json!({ "path": "messages", "length": 1 });
            turns.push(json!({ "match": [mine], "text": "Again.", "expect": [alone] }));
        }
        turns
    }

    /// The output of the step.
    fn output(&self) -> &str {
        match self.expect["result"].as_str() {
            Some("message") if self.has_calls() => "Called.",
            Some("message") => self.expect["content"][0]["text"].as_str().unwrap(),
            _ => "Again.",
        }
    }
}

#[test]
fn recorded_streams_run_in_any_pieces() {
    let streams = Streamed::all();
    assert!(streams.len() >= 36, "{}", streams.len());
    let turns: Vec<Json> = streams.iter().flat_map(Streamed::turns).collect();
    let requests = turns.len();
    let claude = Scripted::new(&Json::from(turns));
    let names: Vec<&str> = streams.iter().map(|stream| stream.step.as_str()).collect();
    let bench = Bench::with(&format!(
        "def workflow():\n    return Plan(name='Ask', steps=[Step.llm(name, prompt=name) for name in {names:?}])\n"
    ));
    let run = claude.plue(&bench, &["run"]);
    let state = claude.state();
    assert_eq!(state["violations"], json!([]), "{state}");
    assert_eq!(state["requests"], requests, "{state}");
    run.ends(0);
    let status = bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
    for (stream, step) in streams.iter().zip(status["steps"].as_array().unwrap()) {
        assert_eq!(step["step"], stream.step);
        assert_eq!(step["output"], stream.output(), "{}", stream.step);
        if stream.expect["result"] == "message" && !stream.has_calls() {
            for name in ["input_tokens", "output_tokens"] {
                assert_eq!(step["usage"][name], stream.expect["usage"][name], "{}", stream.step);
            }
        }
    }
}
