//! The `plue-runner` process. Only wiring.

use std::{error::Error as _, io::Write as _, process::ExitCode};

use plue_runner::{Booted, Error, Options, Runner, USAGE, agent, boot, registered, services};

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|first| first == "--version") {
        // The format of the other programs; `plue doctor` compares them.
        let written = writeln!(std::io::stdout(), "plue-runner {}", env!("CARGO_PKG_VERSION"));
        return if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if std::env::args_os().nth(1).is_some_and(|first| first == services::COMMAND) {
        return services::main(std::env::args_os().skip(2));
    }
    if std::env::args_os().nth(1).is_some_and(|first| first == agent::COMMAND) {
        return agent::main(environment(), std::env::args_os().skip(2));
    }
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut message = format!("plue-runner: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                message = format!("{message}: {cause}");
                source = cause.source();
            }
            if let Error::Usage(_) = error {
                message = format!("{message}\n\n{USAGE}");
            }
            // The engine may have closed the other end.
            let _closed = writeln!(std::io::stderr(), "{message}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn start() -> Result<(), Error> {
    let first = std::env::args().nth(1);
    if let Some(command @ ("register" | "run")) = first.as_deref() {
        return registered::main(command, std::env::args().skip(2), environment);
    }
    let options = Options::parse(std::env::args().skip(1))?;
    let Booted { token, gaps } = boot(&options)?;
    if options.tries {
        // The exit status alone reports success: a gap that cannot be written is ignored.
        let _closed = gaps.iter().try_for_each(|gap| writeln!(std::io::stderr(), "{gap}"));
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|source| Error::Setup { what: "start the event loop", source })?;
    runtime.block_on(async {
        let dial = options.connect.clone();
        Runner::open(options, token, dial, environment())?.run().await.map(drop)
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "steps inherit a few variables; this is the one place that reads them"
)]
fn environment() -> std::env::VarsOs {
    std::env::vars_os()
}
