//! A naive interpreter of docs/reference/semantics.md for plans without loops and hooks: it looks at every step
//! again and again. Slow and obvious on purpose; shares no code with the crate.

use std::collections::BTreeMap;

use serde_json::Value as Json;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Naive {
    steps: Vec<Step>,
    places: usize,
    stop: bool,
    stopped: bool,
    pub(crate) now_s: i64,
}

#[derive(Debug, Clone, PartialEq)]
struct Step {
    id: String,
    above: Vec<usize>,
    rule: String,
    attempts: u32,
    delay_s: i64,
    doubles: bool,
    only_exit_1: bool,
    asks: bool,
    answer: Option<bool>,
    tried: u32,
    started: bool,
    due_s: i64,
    status: &'static str,
    lets_through: bool,
}

impl Naive {
    pub(crate) fn new(steps: &[Json], more: &Json) -> Self {
        let ids: BTreeMap<&str, usize> =
            steps.iter().enumerate().map(|(at, step)| (step["id"].as_str().unwrap(), at)).collect();
        let steps = steps.iter().map(|step| {
            let above = step["depends_on"].as_array().unwrap().iter();
            let retry = &step["retry"];
            Step {
                id: step["id"].as_str().unwrap().to_owned(),
                above: above.map(|id| ids[id.as_str().unwrap()]).collect(),
                rule: step["on_failure"].as_str().unwrap().to_owned(),
                attempts: if retry.is_null() {
                    1
                } else {
                    let given = retry["max_attempts"].as_u64();
                    given.map_or(3, |n| u32::try_from(n).unwrap())
                },
                delay_s: if retry["delay"] == "10s" { 10 } else { 0 },
                doubles: retry["backoff"] == "exponential",
                only_exit_1: retry["on"].is_array(),
                asks: step["when"].is_string(),
                answer: None,
                tried: 0,
                started: false,
                due_s: 0,
                status: "pending",
                lets_through: false,
            }
        });
        let mut naive = Self {
            steps: steps.collect(),
            places: more["max_parallel"]
                .as_u64()
                .map_or(usize::MAX, |n| usize::try_from(n).unwrap()),
            stop: more["on_failure"] == "stop",
            stopped: false,
            now_s: 0,
        };
        naive.settle();
        naive
    }

    pub(crate) fn statuses(&self) -> String {
        let texts = self.steps.iter().map(|s| format!("{}={}", s.id, s.status));
        texts.collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn answered(&mut self, id: &str, value: Result<bool, ()>) {
        let at = self.find(id);
        match value {
            Ok(true) => self.steps[at].answer = Some(true),
            Ok(false) => self.finish(at, "skipped", true),
            Err(()) => self.failed(at, "failed"),
        }
        self.settle();
    }

    pub(crate) fn assigned(&mut self, id: &str) {
        let at = self.find(id);
        self.steps[at].started = true;
        self.settle();
    }

    pub(crate) fn requeued(&mut self, id: &str) {
        let at = self.find(id);
        self.steps[at].started = self.steps[at].tried > 1;
        self.settle();
    }

    pub(crate) fn started(&mut self, id: &str) {
        let at = self.find(id);
        self.steps[at].status = "running";
        self.steps[at].started = true;
        self.settle();
    }

    /// `kind`: success, cancelled, exit:1, exit:2, timeout or infra.
    pub(crate) fn ended(&mut self, id: &str, kind: &str) {
        let at = self.find(id);
        let step = &mut self.steps[at];
        let retried = step.tried < step.attempts && (!step.only_exit_1 || kind == "exit:1");
        match kind {
            "success" => self.finish(at, "success", true),
            "cancelled" => {
                self.finish(at, "cancelled", false);
                self.stopped |= self.stop;
            }
            _ if retried => {
                let factor = if step.doubles { 1 << (step.tried - 1) } else { 1 };
                step.due_s = self.now_s + step.delay_s * factor;
                step.started = true;
                step.status = "waiting";
            }
            "timeout" => self.failed(at, "timed_out"),
            _ => self.failed(at, "failed"),
        }
        self.settle();
    }

    pub(crate) fn is_open(&self, id: &str) -> bool {
        matches!(self.steps[self.find(id)].status, "queued" | "running")
    }

    fn find(&self, id: &str) -> usize {
        self.steps.iter().position(|step| step.id == id).unwrap()
    }

    fn failed(&mut self, at: usize, status: &'static str) {
        match self.steps[at].rule.as_str() {
            "skip" => self.finish(at, "skipped", true),
            "continue" => self.finish(at, status, true),
            _ => {
                self.finish(at, status, false);
                self.stopped |= self.stop;
            }
        }
    }

    fn finish(&mut self, at: usize, status: &'static str, lets_through: bool) {
        self.steps[at].status = status;
        self.steps[at].lets_through = lets_through;
    }

    pub(crate) fn settle(&mut self) {
        while self.skip_one() || self.queue_one() {}
    }

    fn skip_one(&mut self) -> bool {
        for at in 0..self.steps.len() {
            let step = &self.steps[at];
            let not_started =
                step.status == "pending" || (step.status == "queued" && !step.started);
            let ended = |at: &usize| ENDED.contains(&self.steps[*at].status);
            let blocked = step.above.iter().all(ended)
                && step.above.iter().any(|at| !self.steps[*at].lets_through);
            if (not_started && self.stopped) || (step.status == "pending" && blocked) {
                self.finish(at, "skipped", false);
                return true;
            }
        }
        false
    }

    fn queue_one(&mut self) -> bool {
        let busy = |step: &&Step| matches!(step.status, "queued" | "running");
        if self.steps.iter().filter(busy).count() >= self.places {
            return false;
        }
        let due = |at: &usize| {
            let step = &self.steps[*at];
            step.status == "waiting" && step.due_s <= self.now_s
        };
        let ready = |at: &usize| {
            let step = &self.steps[*at];
            let ended = step.above.iter().all(|at| ENDED.contains(&self.steps[*at].status));
            step.status == "pending" && ended && (!step.asks || step.answer == Some(true))
        };
        let all = 0..self.steps.len();
        let retry = all.clone().filter(due).min_by_key(|at| (self.steps[*at].due_s, *at));
        let Some(at) = retry.or_else(|| all.clone().find(ready)) else {
            return false;
        };
        self.steps[at].status = "queued";
        self.steps[at].tried += 1;
        true
    }
}

const ENDED: [&str; 5] = ["success", "failed", "skipped", "cancelled", "timed_out"];
