//! From the configuration to a collector of traces.
//!
//! Must not show a header: they may hold credentials.

use std::{collections::HashMap, path::Path};

use plue_executor::trace::{Sampling, Traces};
use plue_runtime::{Clock, Ids};
use plue_server::traces::{Collector, Exporter};

use crate::{app::App, failure::Failure};

/// Usual address of collectors for OTLP over HTTP.
const USUAL: &str = "http://127.0.0.1:4318";

/// Options of `plue serve` that override the configuration.
#[derive(Debug)]
pub struct TraceOptions<'a> {
    /// `--traces`: a collector, or the empty text for that of the configuration or the usual one.
    pub endpoint: Option<&'a str>,
    /// Address of the server for people.
    pub url: Option<&'a str>,
}

/// The exporter, if traces are wanted.
///
/// # Errors
/// The collector's address or the file of headers cannot be used.
pub fn exporter(
    app: &App,
    wanted: Option<TraceOptions<'_>>,
    clock: Clock,
) -> Result<Option<(Exporter, Traces)>, Failure> {
    let config = &app.loaded.config.traces;
    let (flag, url) = wanted.map_or((None, None), |wanted| (wanted.endpoint, wanted.url));
    let endpoint = flag.filter(|endpoint| !endpoint.is_empty()).or(config.endpoint.as_deref());
    let Some(endpoint) = endpoint.or(flag.map(|_| USUAL)) else { return Ok(None) };
    let headers = config.headers_file.as_deref().map(headers).transpose()?;
    let sampling = Sampling::share(config.sample);
    let collector = Collector {
        endpoint: endpoint.to_owned(),
        headers: headers.unwrap_or_default(),
        sampling: sampling.ok_or_else(|| Failure::usage("traces.sample is from 0 to 1"))?,
        url: url.map(str::to_owned),
        instance: Ids::random().text(),
    };
    let made = Exporter::new(collector, clock);
    made.map(Some).map_err(|error| Failure::usage(format!("traces.endpoint: {error}")))
}

fn headers(path: &Path) -> Result<HashMap<String, String>, Failure> {
    let refused =
        |why: String| Failure::usage(format!("traces.headers_file: {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let pair = |(at, line): (usize, &str)| {
        let (name, value) = line
            .split_once(':')
            // The text of the line may be a credential.
            .ok_or_else(|| refused(format!("line {at} is no `Name: value`")))?;
        Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    };
    lines.map(pair).collect()
}
