//! Use of runners and of Claude: totals, days, and a row for each owner.

use jiff::civil::Date;
use maud::{Markup, html};

use super::{Frame, Tab, tile};
use crate::{
    shell::Page,
    ui::{self, grouped, money, text},
};

/// Periods in days that the page offers.
pub const PERIODS: &[u16] = &[1, 7, 30, 90];
/// Rows that are listed.
pub const MAX_ROWS: usize = 200;
/// Height of the picture of days, without its axis.
const HEIGHT: u64 = 96;
/// Width of a day in the picture.
const STEP: u64 = 12;

/// Owner of the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum By {
    /// A row for each repository.
    #[default]
    Repository,
    /// A row for each workflow.
    Workflow,
    /// A row for each owner of repositories.
    Organisation,
}

/// The page of usage.
#[derive(Debug, Clone, PartialEq)]
pub struct UsagePage {
    /// Owner of the rows.
    pub by: By,
    /// Days of the period.
    pub days: u16,
    /// Only of this repository; empty: all.
    pub repo: String,
    /// Sums by owner, the one with the most minutes first.
    pub rows: Vec<UsageLine>,
    /// Runs of each day of the period, the oldest first.
    pub by_day: Vec<Day>,
}

/// Sums of an owner.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UsageLine {
    /// Repository or organisation; none: runs without one.
    pub owner: Option<String>,
    /// Workflow, if the sums are by workflow.
    pub workflow: Option<String>,
    /// Runs that were created, that passed, and that failed.
    pub runs: (u64, u64, u64),
    /// Time of attempts in minutes.
    pub minutes: f64,
    /// Dollars spent on Claude; none: no call was made.
    pub usd: Option<f64>,
}

/// Runs of a day in UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    /// The day, from midnight to midnight UTC.
    pub date: Date,
    /// Runs that were created, and those of them that failed.
    pub runs: (u64, u64),
    /// Dollars spent on Claude by them.
    pub usd: f64,
}

// === impl By ===

impl By {
    /// All owners, in order.
    pub const ALL: &'static [Self] = &[Self::Repository, Self::Workflow, Self::Organisation];

    /// Word in addresses and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Repository => "repository",
            Self::Workflow => "workflow",
            Self::Organisation => "organisation",
        }
    }

    /// The owner of a word; an unknown one is the repository.
    #[must_use]
    pub fn of(word: &str) -> Self {
        Self::ALL.iter().copied().find(|by| by.as_str() == word).unwrap_or_default()
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Repository => "Repository",
            Self::Workflow => "Workflow",
            Self::Organisation => "Organisation",
        }
    }
}

// === impl UsagePage ===

impl UsagePage {
    fn address(&self, by: By, days: u16) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("by", by.as_str()).append_pair("days", &days.to_string());
        if !self.repo.is_empty() {
            query.append_pair("repo", &self.repo);
        }
        format!("/usage?{}", query.finish())
    }
}

/// The page of the view model.
#[must_use]
pub fn page(model: &UsagePage, frame: &Frame) -> Page {
    let content = html! {
        div.usage-bar {
            nav.segments aria-label="Sum by" {
                @for by in By::ALL {
                    a href=(model.address(*by, model.days)) aria-current=[(*by == model.by).then_some("true")] { (by.title()) }
                }
            }
            nav.segments aria-label="Period" {
                @for days in PERIODS {
                    a href=(model.address(model.by, *days)) aria-current=[(*days == model.days).then_some("true")] {
                        @if *days == 1 { "24 hours" } @else { (days) " days" }
                    }
                }
            }
            @if !model.repo.is_empty() {
                span.branch { (text::name(&model.repo)) } a href="/usage" { "All repositories" }
            }
        }
        @if model.rows.is_empty() {
            div.card { (nothing()) }
        } @else {
            (totals(&model.rows))
            @if model.by_day.len() > 1 { (picture(&model.by_day)) }
            (table(model))
        }
    };
    Tab::Usage.page(frame, &content)
}

fn nothing() -> Markup {
    ui::empty(
        "No run was created in this period",
        "Each run counts here with the time of its steps and its use of Claude. The same numbers come as JSON:",
        &["plue usage --by workflow --json"],
    )
}

fn totals(rows: &[UsageLine]) -> Markup {
    let sum = |of: fn(&UsageLine) -> u64| rows.iter().map(of).fold(0_u64, u64::saturating_add);
    let (runs, passed, failed) =
        (sum(|row| row.runs.0), sum(|row| row.runs.1), sum(|row| row.runs.2));
    let minutes: f64 = rows.iter().map(|row| row.minutes).sum();
    let usd: f64 = rows.iter().filter_map(|row| row.usd).sum();
    html! {
        div.tiles {
            (tile("Runs", &html! { (grouped(count(runs))) }))
            (tile("Passed", &html! { (share(passed, passed.saturating_add(failed))) }))
            (tile("Time of steps", &html! { (spent(minutes)) }))
            (tile("Claude", &html! { (money(usd)) }))
        }
    }
}

fn table(model: &UsagePage) -> Markup {
    let most = model.rows.iter().map(|row| row.minutes).fold(0.0, f64::max);
    let has_cost = model.rows.iter().any(|row| row.usd.is_some());
    html! {
        div.card.flush.scroll {
            table.lines {
                thead { tr {
                    th { (model.by.title()) } th.right { "Runs" } th.right { "Passed" } th.right { "Failed" }
                    th.right { "Time" } th { span.hidden { "Share of the time" } }
                    @if has_cost { th.right { "Claude" } }
                } }
                tbody {
                    @for row in model.rows.iter().take(MAX_ROWS) {
                        @let (runs, passed, failed) = row.runs;
                        tr {
                            td data-name=(model.by.title()) { (owner(row)) }
                            td.right.nums data-name="Runs" { (grouped(count(runs))) }
                            td.right.nums data-name="Passed" { (share(passed, passed.saturating_add(failed))) }
                            td.right.nums data-name="Failed" { @if failed > 0 { span.bad { (grouped(count(failed))) } } @else { "0" } }
                            td.right.nums data-name="Time" { (spent(row.minutes)) }
                            td.meter-cell { meter min="0" max=(most.max(0.01)) value=(row.minutes) { (spent(row.minutes)) } }
                            @if has_cost { td.right.nums data-name="Claude" { @if let Some(usd) = row.usd { (money(usd)) } } }
                        }
                    }
                }
            }
        }
        @if model.rows.len() > MAX_ROWS { p.muted { "The first " (MAX_ROWS) " are listed." } }
    }
}

fn owner(row: &UsageLine) -> Markup {
    let href = |pairs: &[(&str, &str)]| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(pairs);
        format!("/runs?{}", query.finish())
    };
    html! {
        @match (&row.owner, &row.workflow) {
            (Some(owner), Some(workflow)) => {
                a href=(href(&[("repo", owner), ("workflow", workflow)])) { (text::name(workflow)) }
                span.sub { (text::name(owner)) }
            }
            (None, Some(workflow)) => { a href=(href(&[("workflow", workflow)])) { (text::name(workflow)) } }
            (Some(owner), None) if owner.contains('/') => { a href=(href(&[("repo", owner)])) { (text::name(owner)) } }
            (Some(owner), None) => { (text::name(owner)) }
            (None, None) => { span.muted { "no repository" } }
        }
    }
}

/// Runs of each day as bars: failed ones below, in their own colour; a table has the same numbers.
fn picture(days: &[Day]) -> Markup {
    let most = days.iter().map(|day| day.runs.0).max().unwrap_or(0).max(1);
    let width = days.len() as u64 * STEP;
    let tall = |runs: u64| runs.saturating_mul(HEIGHT).div_ceil(most);
    html! {
        figure.card.days {
            figcaption { "Runs by day, at most " (grouped(count(most))) }
            svg viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label="Runs by day" {
                @for (at, day) in days.iter().enumerate() {
                    @let (runs, failed) = day.runs;
                    @let x = at as u64 * STEP;
                    g {
                        title { (day.date) ": " (runs) " runs, " (failed) " failed, " (money(day.usd)) }
                        rect.day-hit x=(x) y="0" width=(STEP) height=(HEIGHT) {}
                        @if runs > 0 {
                            rect.day-bar x=(x + 1) y=(HEIGHT - tall(runs)) width=(STEP - 2) height=(tall(runs)) {}
                        }
                        @if failed > 0 {
                            rect.day-bad x=(x + 1) y=(HEIGHT - tall(failed)) width=(STEP - 2) height=(tall(failed)) {}
                        }
                    }
                }
            }
            @if let (Some(first), Some(last)) = (days.first(), days.last()) {
                p.days-ends { span { (first.date) } span { (last.date) } }
            }
            details {
                summary { "As a table" }
                table.lines {
                    thead { tr { th { "Day (UTC)" } th.right { "Runs" } th.right { "Failed" } th.right { "Claude" } } }
                    tbody {
                        @for day in days.iter().rev().filter(|day| day.runs.0 > 0) {
                            tr {
                                td data-name="Day" { (day.date) }
                                td.right.nums data-name="Runs" { (day.runs.0) }
                                td.right.nums data-name="Failed" { (day.runs.1) }
                                td.right.nums data-name="Claude" { (money(day.usd)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A part in percent; a dash where there is no whole.
#[must_use]
pub fn share(part: u64, whole: u64) -> String {
    match whole {
        0 => "–".to_owned(),
        whole => {
            // Rounded down, so that only all of them are 100 %.
            let percent = part.min(whole).saturating_mul(100) / whole;
            format!("{percent} %")
        }
    }
}

/// Minutes in words: `4.5 min`, `12 h`.
fn spent(minutes: f64) -> String {
    match minutes {
        minutes if minutes < 0.05 => "0 min".to_owned(),
        minutes if minutes < 10.0 => format!("{minutes:.1} min"),
        minutes if minutes < 600.0 => format!("{minutes:.0} min"),
        minutes => format!("{:.0} h", minutes / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{evil, harmless};

    fn model(owner: &str) -> UsagePage {
        let date = |day| Date::constant(2026, 11, day);
        UsagePage {
            by: By::Workflow,
            days: 7,
            repo: owner.to_owned(),
            rows: vec![UsageLine {
                owner: Some(owner.to_owned()),
                workflow: Some(owner.to_owned()),
                runs: (1_200, 1_100, 4),
                minutes: 750.0,
                usd: Some(1.5),
            }],
            by_day: vec![
                Day { date: date(1), runs: (3, 1), usd: 0.0 },
                Day { date: date(2), runs: (0, 0), usd: 0.0 },
            ],
        }
    }

    #[test]
    fn sums_and_days_are_shown() {
        let page = harmless(&page(&model("acme/app"), &Frame::default()));
        for part in
            ["1,200", "99 %", "12 h", "$1.50", "2026-11-01: 3 runs, 1 failed", "repo=acme%2Fapp"]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("style="));
    }

    #[test]
    fn shares_never_round_up_to_all() {
        for (part, whole, text) in
            [(0, 0, "–"), (999, 1_000, "99 %"), (5, 5, "100 %"), (9, 5, "100 %")]
        {
            assert_eq!(share(part, whole), text);
        }
    }

    #[test]
    fn hostile_owners_stay_text() {
        harmless(&page(
            &UsagePage { repo: String::new(), ..model(&evil()[..2_000]) },
            &Frame::default(),
        ));
    }

    #[test]
    fn empty_periods_teach() {
        let empty = UsagePage { rows: Vec::new(), by_day: Vec::new(), ..model("") };
        assert!(harmless(&page(&empty, &Frame::default())).contains("plue usage"));
    }
}
