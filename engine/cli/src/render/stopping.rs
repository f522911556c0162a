//! Messages about a run that is being stopped: the steps, hooks or runner that it waits for.

use std::collections::BTreeSet;

/// Messages about the stop of one run, each cause of a wait once.
#[derive(Debug)]
pub struct Stopping {
    run: String,
    kill: bool,
    hooks: BTreeSet<String>,
    returned: BTreeSet<String>,
}

// === impl Stopping ===

impl Stopping {
    /// `hooks`: the ids of the plan's hooks.
    #[must_use]
    pub fn new(run: &str, kill: bool, hooks: BTreeSet<String>) -> Self {
        Self { run: run.to_owned(), kill, hooks, returned: BTreeSet::new() }
    }

    /// The first message. `grace`: time from TERM to KILL; `None`: the server's `runner.grace`.
    #[must_use]
    pub fn begins(&self, grace: Option<&str>) -> String {
        let run = &self.run;
        if self.kill {
            return format!("stopping run {run}: its processes are killed");
        }
        let after = match grace {
            Some(grace) => format!("after {grace}"),
            None => "after the server's `runner.grace`".to_owned(),
        };
        format!(
            "stopping run {run}: its steps get TERM, and KILL {after}; then its hooks run; to kill at \
             once: plue cancel {run} --kill"
        )
    }

    /// The message about the current wait, unless returned before; `running`: the steps and hooks
    /// that have a process, or work of the engine.
    pub fn waits(&mut self, running: &[String]) -> Option<String> {
        let (hooks, steps): (Vec<_>, Vec<_>) =
            running.iter().partition(|step| self.hooks.contains(*step));
        let text = match (steps.as_slice(), hooks.as_slice()) {
            ([], []) => "waiting for its runner to end".to_owned(),
            ([], hooks) => format!("waiting for {}", named("hook", hooks)),
            (steps, _) => format!("waiting for {}", named("step", steps)),
        };
        self.returned.insert(text.clone()).then_some(text)
    }
}

fn named(what: &str, ids: &[&String]) -> String {
    let ids: Vec<_> = ids.iter().map(|id| format!("`{id}`")).collect();
    let plural = if ids.len() == 1 { "" } else { "s" };
    format!("{what}{plural} {} to end", ids.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn each_wait_is_returned_once() {
        let hooks = BTreeSet::from(["clean".to_owned()]);
        let mut stopping = Stopping::new("r1", false, hooks);
        let text = "waiting for steps `a`, `b` to end";
        assert_eq!(stopping.waits(&ids(&["a", "b"])).as_deref(), Some(text));
        assert_eq!(stopping.waits(&ids(&["a", "b"])), None);
        assert_eq!(stopping.waits(&ids(&["b"])).as_deref(), Some("waiting for step `b` to end"));
        let hook = stopping.waits(&ids(&["clean"]));
        assert_eq!(hook.as_deref(), Some("waiting for hook `clean` to end"));
        assert_eq!(stopping.waits(&[]).as_deref(), Some("waiting for its runner to end"));
        assert_eq!(stopping.waits(&[]), None);
    }

    #[test]
    fn the_beginning_names_grace_and_the_harder_way() {
        let stopping = |kill| Stopping::new("r1", kill, BTreeSet::new());
        let text = stopping(false).begins(Some("10s"));
        assert!(
            text.contains("KILL after 10s") && text.contains("plue cancel r1 --kill"),
            "{text}"
        );
        assert!(stopping(false).begins(None).contains("`runner.grace`"));
        assert_eq!(stopping(true).begins(Some("10s")), "stopping run r1: its processes are killed");
    }
}
