//! `bash`: a command in the working directory.

use std::time::Duration;

use plue_wire::runner::FETCH_HOSTS_VARIABLE;
use tokio::process::Command;

use super::{
    super::{
        content::Content,
        input,
        process::{self, Bounds, Finished},
    },
    Outcome, Tools,
};

/// Bytes of a command; Linux allows 128 KiB for one argument.
const MAX_COMMAND_BYTES: usize = 120 * 1024;

// === impl Tools: processes ===

impl Tools {
    pub(super) async fn bash(&self, input: &str, timeout: Duration) -> Outcome {
        let input = match input::parse::<input::Bash>(input) {
            Ok(input) => input,
            Err(why) => return Outcome::of(Err(why)),
        };
        if input.command.contains('\0') || input.command.len() > MAX_COMMAND_BYTES {
            let why = format!(
                "a command has no NUL byte and at most {MAX_COMMAND_BYTES} bytes; write a script and run it"
            );
            return Outcome::of(Err(why));
        }
        let timeout = input.timeout_ms.map_or(timeout, |ms| timeout.min(Duration::from_millis(ms)));
        let mut command = Command::new("bash");
        command.args(["-c", &input.command]);
        match self.run(command, timeout).await {
            Ok(finished) => shown(finished, timeout),
            Err(why) => Outcome::of(Err(why)),
        }
    }

    /// Runs a command in the working directory.
    pub(super) async fn run(
        &self,
        mut command: Command,
        timeout: Duration,
    ) -> Result<Finished, String> {
        let Ok(_running) = self.processes.acquire().await else {
            return Err("the step is ending".to_owned());
        };
        command.current_dir(self.jail.root()).env_remove(FETCH_HOSTS_VARIABLE);
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let bounds: Bounds = self.bounds(timeout);
        let finished = process::run(command, bounds).await;
        finished.map_err(|error| format!("{program} cannot be run on this runner: {error}"))
    }
}

/// The output of a process, followed by notes on its end and on killed processes.
pub(super) fn shown(finished: Finished, timeout: Duration) -> Outcome {
    let Finished { mut output, how, left } = finished;
    let words = how.words(timeout);
    let killed = left.then(|| {
        "[processes that the command left behind were killed; start and use a server in one command]"
            .to_owned()
    });
    for line in words.into_iter().chain(killed) {
        note(&mut output, &line);
    }
    if output.is_empty() {
        output = Content::text("[no output]\n");
    }
    Outcome { content: output, is_error: !how.is_success() }
}

fn note(output: &mut Content, line: &str) {
    if output.is_mid_line() {
        output.push(b"\n");
    }
    output.push(line.as_bytes());
    output.push(b"\n");
}
