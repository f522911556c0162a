//! A stand-in for `plue-evaluator` in tests: it speaks the protocol, and misbehaves as the
//! "workflow file" instructs it. The first line of the file is the order, `#fake <verb> <words…>`.
//!
//! `--allow-missing`, the only option with free text, selects its behaviour at startup.

use std::{
    io::{self, Read as _, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    process::ExitCode,
};

use plue_wire::{
    encode,
    eval::{
        EvalHello, EvalOutcome, EvalReply, EvalRequest, FileFact, Killed, Layer, LayerState,
        MAX_REPLY_BYTES, MAX_REQUEST_BYTES, Need, PROTOCOL, RawPlan, Usage,
    },
    frame,
};

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(2),
    }
}

struct Fake {
    stream: UnixStream,
    seed: String,
    served: u32,
}

fn serve() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has_argument = |word: &str| args.iter().any(|arg| arg == word);
    let mut fake = Fake {
        stream: UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?),
        seed: args.get(1).cloned().unwrap_or_default(),
        served: 0,
    };
    if has_argument("dies-at-start") {
        eprintln!("no libpython here");
        return Err(io::Error::other("on request"));
    }
    let state = if has_argument("has-no-landlock") {
        LayerState::Missing("old kernel".to_owned())
    } else {
        LayerState::On("fake".to_owned())
    };
    let hello = EvalHello {
        protocol: if has_argument("speaks-old") { PROTOCOL + 7 } else { PROTOCOL },
        build: format!("fake/{}", std::process::id()),
        layers: vec![Layer { name: "landlock".to_owned(), state }],
    };
    if !has_argument("silent") {
        fake.send(&hello)?;
    }
    while let Some(request) = fake.receive()? {
        fake.obey(&request)?;
        fake.served += 1;
    }
    Ok(())
}

impl Fake {
    fn receive(&mut self) -> io::Result<Option<EvalRequest>> {
        let mut prefix = [0; frame::PREFIX_BYTES];
        if self.stream.read_exact(&mut prefix).is_err() {
            return Ok(None);
        }
        let length = frame::length(prefix, MAX_REQUEST_BYTES).map_err(io::Error::other)?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        frame::decode(&body).map(Some).map_err(io::Error::other)
    }

    fn send<T: serde::Serialize>(&mut self, message: &T) -> io::Result<()> {
        let bytes = encode(message, MAX_REPLY_BYTES).map_err(io::Error::other)?;
        self.stream.write_all(&bytes)
    }

    fn reply(&mut self, id: u64, outcome: EvalOutcome) -> io::Result<()> {
        self.reply_after(id, outcome, 1_000)
    }

    fn reply_after(&mut self, id: u64, outcome: EvalOutcome, cpu_us: u64) -> io::Result<()> {
        self.send(&EvalReply {
            id,
            outcome,
            printed: "printed\u{1b}[31m".to_owned(),
            usage: Usage { cpu_us, wall_us: 2_000, max_rss_kib: 10_000 },
        })
    }

    fn obey(&mut self, request: &EvalRequest) -> io::Result<()> {
        let source = request.sources.get(&request.entry).map_or(&[][..], |bytes| &bytes.0);
        let text = String::from_utf8_lossy(source).into_owned();
        let order = text.lines().next().unwrap_or_default();
        let words: Vec<&str> = order.split(' ').skip(1).collect();
        let (verb, rest) = words.split_first().map_or(("", &[][..]), |(verb, rest)| (*verb, rest));
        let word = rest.first().copied().unwrap_or_default();
        match verb {
            "crash" => Err(io::Error::other("on request")),
            "crash-when-used" if self.served > 0 => Err(io::Error::other("on request")),
            "hang" => loop {
                std::thread::park();
            },
            "garbage" => self.stream.write_all(&[3, 0, 0, 0, 255, 255, 255]),
            "oversized" => self.stream.write_all(&[255, 255, 255, 255, 1, 2, 3]),
            "truncated" => {
                self.stream.write_all(&[100, 0, 0, 0, 1, 2])?;
                Err(io::Error::other("on request"))
            }
            "wrong-id" => self.reply(request.id + 1, plan("x", "true")),
            "killed" => self.reply(request.id, EvalOutcome::Killed(killed(word))),
            "failed" => self.reply(request.id, failed(&text)),
            "needs" => self.needs(request, rest),
            "needs-by-seed" if self.seed == "B" => {
                let backwards: Vec<&str> = rest.iter().rev().copied().collect();
                self.needs(request, &backwards)
            }
            "needs-by-seed" => self.needs(request, rest),
            "needs-forever" => {
                let next = format!("f{}", request.facts.files.len());
                self.reply(request.id, EvalOutcome::Needs(vec![Need::Exists(next)]))
            }
            "needs-many" => {
                let paths = (0..2_000).map(|n| Need::Exists(format!("f{n}"))).collect();
                self.reply(request.id, EvalOutcome::Needs(paths))
            }
            "needs-again" => {
                self.reply(request.id, EvalOutcome::Needs(vec![Need::Exists("a".to_owned())]))
            }
            "by-seed" => {
                let name = format!("plan-{}", self.seed);
                self.reply(request.id, plan(&name, "true"))
            }
            "by-third" | "third-needs" if !matches!(self.seed.as_str(), "A" | "B") => {
                self.obey_as_third(request, verb, rest)
            }
            "spends" | "needs-monster" => self.burden(request, verb),
            "event" | "fails-listed" if request.withholds_event => {
                self.reply(request.id, EvalOutcome::Needs(vec![Need::Event]))
            }
            "fails-listed" if request.event_json.is_none() => self.reply(request.id, failed(&text)),
            "fails-in-b" if self.seed == "B" => self.reply(request.id, failed("")),
            "json" => {
                let plan_json = text.lines().skip(1).collect::<Vec<_>>().join("\n");
                self.reply(request.id, raw(vec![plan_json]))
            }
            "many" => {
                let plans = (0..300).map(|n| json(&format!("p{n}"), "true")).collect();
                self.reply(request.id, raw(plans))
            }
            "twice" => self.reply(request.id, raw(vec![json("x", "true"), json("x", "false")])),
            "event" => {
                let event = request.event_json.as_deref().unwrap_or("none");
                self.reply(request.id, plan("event", event))
            }
            _ => self.reply(request.id, plan(word, "true")),
        }
    }

    /// Orders for third evaluators only.
    fn obey_as_third(
        &mut self,
        request: &EvalRequest,
        verb: &str,
        rest: &[&str],
    ) -> io::Result<()> {
        match verb {
            "by-third" => self.reply(request.id, plan("third", "true")),
            _ => self.needs(request, rest),
        }
    }

    /// Requests that are expensive for the engine.
    fn burden(&mut self, request: &EvalRequest, verb: &str) -> io::Result<()> {
        let (need, cpu_us) = match verb {
            "spends" => (Need::Exists(format!("f{}", request.facts.files.len())), 400_000),
            _ => (Need::Glob("*a".repeat(100_000)), 1_000),
        };
        self.reply_after(request.id, EvalOutcome::Needs(vec![need]), cpu_us)
    }

    /// Requests everything in the order, one thing after the other, then puts the answers into a
    /// plan.
    fn needs(&mut self, request: &EvalRequest, rest: &[&str]) -> io::Result<()> {
        let (facts, mut seen) = (&request.facts, Vec::new());
        for word in rest {
            let (kind, name) = word.split_once(':').unwrap_or((word, ""));
            let path = name.to_owned();
            let (answer, need) = match kind {
                "read" => {
                    let known = facts.files.get(name).filter(|fact| **fact != FileFact::Present);
                    (known.map(text_of), Need::Read(path))
                }
                "exists" => (facts.files.get(name).map(text_of), Need::Exists(path)),
                "glob" => (facts.globs.get(name).map(|g| g.join(" ")), Need::Glob(path)),
                _ => (facts.changed_files.as_ref().map(|c| c.join(" ")), Need::ChangedFiles),
            };
            match answer {
                Some(answer) => seen.push(answer),
                None => return self.reply(request.id, EvalOutcome::Needs(vec![need])),
            }
        }
        if request.sources.values().any(|source| source.0.starts_with(b"#fake needs-by-seed")) {
            seen.sort();
        }
        self.reply(request.id, plan("facts", &format!("echo {}", seen.join("; "))))
    }
}

fn text_of(fact: &FileFact) -> String {
    match fact {
        FileFact::Text(text) => text.clone(),
        FileFact::NotText => "(not text)".to_owned(),
        FileFact::Present => "(present)".to_owned(),
        FileFact::Absent => "(absent)".to_owned(),
    }
}

fn json(name: &str, run: &str) -> String {
    let step = serde_json::json!({"id": "a", "kind": "bash", "run": run});
    serde_json::json!({"version": 1, "name": name, "steps": [step]}).to_string()
}

fn raw(plans: Vec<String>) -> EvalOutcome {
    let raw = |plan_json| RawPlan { plan_json, places_json: "{}".to_owned() };
    EvalOutcome::Plans(plans.into_iter().map(raw).collect())
}

fn plan(name: &str, run: &str) -> EvalOutcome {
    raw(vec![json(name, run)])
}

fn failed(text: &str) -> EvalOutcome {
    let second = text.lines().nth(1).map(str::to_owned);
    let diagnostics_json = second.unwrap_or_else(|| {
        let span = serde_json::json!({"file": "ci.plue.py", "line": 2, "column": 3});
        serde_json::json!([{
            "code": "PLUE-E0001", "severity": "error", "message": "name \u{1b}[2J is unknown", "span": span,
        }])
        .to_string()
    });
    EvalOutcome::Failed { diagnostics_json }
}

fn killed(word: &str) -> Killed {
    match word {
        "cpu" => Killed::Cpu,
        "memory" => Killed::Memory,
        "wall" => Killed::Wall,
        "denied" => Killed::Denied("seccomp: socket".to_owned()),
        "bad" => Killed::BadReply("too long".to_owned()),
        _ => Killed::Crashed("SIGSEGV".to_owned()),
    }
}
