//! The log of this process (`tracing`) on standard error, one line for each event: by default errors only,
//! of a server warnings too and with times; with `-v` what is done, with `-vv` how.

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, Registry, filter::filter_fn, fmt, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{app::App, args::Command};

/// The form of a server's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// An object of JSON in each line.
    Json,
}

/// Shows it from now on.
pub fn listen(app: &App, command: &Command) {
    let serving = if let Command::Serve(args) = command { Some(args.log_format) } else { None };
    // A subscriber is installed before this one only in tests.
    let _first = tracing_subscriber::registry().with(lines(app, serving)).try_init();
}

/// `serving`: the form that a server's log has.
fn lines(
    app: &App,
    serving: Option<LogFormat>,
) -> Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync> {
    // Libraries talk for those who work on them.
    let ours = filter_fn(|metadata| metadata.target().starts_with("plue"));
    let level = level(app.verbosity, serving.is_some());
    let lines = fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    let lines = lines.with_ansi(app.stderr.color);
    match serving {
        None => lines.without_time().with_filter(ours).with_filter(level).boxed(),
        Some(LogFormat::Text) => lines.with_filter(ours).with_filter(level).boxed(),
        Some(LogFormat::Json) => {
            let lines = lines.json().flatten_event(true).with_current_span(false);
            lines.with_span_list(false).with_filter(ours).with_filter(level).boxed()
        }
    }
}

fn level(verbosity: i8, serves: bool) -> LevelFilter {
    match verbosity {
        ..=-1 => LevelFilter::ERROR,
        0 if serves => LevelFilter::WARN,
        0 => LevelFilter::ERROR,
        1 => LevelFilter::INFO,
        2.. => LevelFilter::DEBUG,
    }
}
