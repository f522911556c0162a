//! Use of runners and of Claude, by owner and by day.

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use jiff::{SignedDuration, Timestamp, ToSpan as _, tz::TimeZone};
use plue_dashboard::{
    ops::{
        Tab,
        usage::{self, By, Day, PERIODS, UsageLine, UsagePage},
    },
    shell::Page,
};
use plue_store::{UsageBy, UsageDay};

use super::frame;
use crate::{
    extract::repos_of,
    pages::{field, reader::Reader},
    problem::Problem,
    records::resources::UsageRecord,
    server::Api,
};

/// Days of the page unless the address names others.
const DAYS: u16 = 30;
/// Picodollars of a dollar.
const DOLLAR: f64 = 1e12;

/// `GET /usage`
pub(in crate::pages) async fn page(
    State(api): State<Api>,
    reader: Reader,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    reader.answer(load(&api, &reader, query.as_bytes()).await)
}

async fn load(api: &Api, reader: &Reader, query: &[u8]) -> Result<Page, Problem> {
    let frame = frame(reader, Tab::Usage)?;
    let days = field(query, "days").and_then(|days| days.parse().ok());
    let days = days.filter(|days| PERIODS.contains(days)).unwrap_or(DAYS);
    let by = By::of(&field(query, "by").unwrap_or_default());
    let repo = field(query, "repo").filter(|repo| !repo.is_empty());
    let repos = repos_of(&reader.who, repo.clone())?;
    let now = api.clock().now();
    let from = now.checked_sub(SignedDuration::from_hours(24 * i64::from(days)));
    let from = from.unwrap_or(Timestamp::UNIX_EPOCH);
    let to = now.checked_add(SignedDuration::from_secs(1)).unwrap_or(now);
    let sum_by = match by {
        By::Repository => UsageBy::Repository,
        By::Workflow => UsageBy::Workflow,
        By::Organisation => UsageBy::Organisation,
    };
    let rows = api.store().usage().list(sum_by, repos.as_deref(), from, to).await?;
    let mut rows: Vec<UsageLine> =
        rows.iter().map(|row| line(UsageRecord::of(row, sum_by))).collect();
    rows.sort_by(|one, other| {
        other.minutes.total_cmp(&one.minutes).then(other.runs.0.cmp(&one.runs.0))
    });
    let by_day = api.store().usage().by_day(repos.as_deref(), from, to).await?;
    let by_day = whole(&by_day, from, now);
    let model = UsagePage { by, days, repo: repo.unwrap_or_default(), rows, by_day };
    Ok(usage::page(&model, &frame))
}

fn line(record: UsageRecord) -> UsageLine {
    UsageLine {
        owner: record.repository.or(record.organisation),
        workflow: record.workflow,
        runs: (record.runs, record.succeeded, record.failed),
        minutes: record.minutes,
        usd: record.claude.map(|claude| claude.cost_usd),
    }
}

/// Every day of the period, those without a run too.
fn whole(found: &[UsageDay], from: Timestamp, to: Timestamp) -> Vec<Day> {
    let date = |at| TimeZone::UTC.to_datetime(at).date();
    let (mut day, last) = (date(from), date(to));
    let mut days = Vec::new();
    while day <= last {
        let of_day = found.iter().find(|found| found.date == day);
        days.push(Day {
            date: day,
            runs: of_day.map_or((0, 0), |found| (found.runs, found.failed)),
            usd: of_day.map_or(0.0, |found| found.cost as f64 / DOLLAR),
        });
        let Ok(next) = day.checked_add(1.day()) else { break };
        day = next;
    }
    days
}
