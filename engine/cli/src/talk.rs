//! What the rooms say about their own work (`tracing`), on standard error: with `-v` what they do,
//! with `-vv` how, otherwise only what goes wrong without a command failing of it.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, filter::filter_fn, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::app::App;

/// Shows it from now on.
pub fn listen(app: &App) {
    let level = match app.verbosity {
        ..=0 => LevelFilter::ERROR,
        1 => LevelFilter::INFO,
        2.. => LevelFilter::DEBUG,
    };
    // Libraries talk for those who work on them.
    let ours = filter_fn(|metadata| metadata.target().starts_with("plue"));
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(app.stderr.color)
        .log_internal_errors(false)
        .without_time()
        .with_filter(ours)
        .with_filter(level);
    // Somebody listens already only in tests.
    let _first = tracing_subscriber::registry().with(lines).try_init();
}
