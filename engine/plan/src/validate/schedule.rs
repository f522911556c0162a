//! Cron expressions and time zones.
//!
//! Must not compute ticks: that needs a clock.

use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZoneDatabase;

use crate::{
    codes,
    validate::report::{Quoted, Report, Site},
};

const FIELDS: [&str; 5] = ["minute", "hour", "day of month", "month", "day of week"];

/// Checks the two texts of a schedule.
pub(super) fn schedule(report: &mut Report, site: Site<'_>, cron: &str, tz: &str) {
    if let Err((at, why)) = check_cron(cron) {
        report.push(
            site.error(
                codes::BAD_CRON,
                format_args!("the cron expression {}: {why} at position {at}", Quoted(cron)),
            )
            .hint(
                "five fields: minute, hour, day of month, month, day of week, like `30 4 * * 1-5`",
            ),
        );
    }
    let zones = TimeZoneDatabase::bundled();
    if zones.get(tz).is_err() {
        let known: Vec<String> = zones.available().map(|name| name.to_string()).collect();
        report.push_near(
            site.error(
                codes::BAD_TIME_ZONE,
                format_args!("{} is no time zone of the IANA database", Quoted(tz)),
            ),
            tz,
            known.iter().map(String::as_str),
            "like `UTC` or `Europe/Berlin`",
        );
    }
}

/// Position (from 1, in characters) and reason.
fn check_cron(cron: &str) -> Result<(), (usize, String)> {
    let fields: Vec<(usize, &str)> = fields(cron);
    if fields.len() != FIELDS.len() {
        let at = fields.get(FIELDS.len()).map_or(1, |(at, _)| *at);
        return Err((at, format!("{} fields instead of five", fields.len())));
    }
    let parser = CronParser::builder();
    let parser = parser.seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    // Each field is checked alone first: the parser reports no position.
    for (index, (at, field)) in fields.iter().enumerate() {
        let mut alone = ["*"; 5];
        if let Some(slot) = alone.get_mut(index) {
            *slot = field;
        }
        if parser.parse(&alone.join(" ")).is_err() {
            let name = FIELDS.get(index).copied().unwrap_or_default();
            return Err((*at, format!("{} is no {name}", Quoted(field))));
        }
    }
    let whole: Vec<&str> = fields.iter().map(|(_, field)| *field).collect();
    match parser.parse(&whole.join(" ")) {
        Ok(_) => Ok(()),
        Err(error) => Err((1, error.to_string())),
    }
}

fn fields(cron: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut at = 1;
    for part in cron.split([' ', '\t']) {
        if !part.is_empty() {
            found.push((at, part));
        }
        at += part.chars().count() + 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::check_cron;

    #[test]
    fn five_fields_are_accepted() {
        for cron in ["0 0 * * *", "*/15 9-17 * * MON-FRI", "30  4 1,15 JAN *", "0 0 29 2 *"] {
            assert_eq!(check_cron(cron), Ok(()), "{cron}");
        }
    }

    #[test]
    fn errors_name_the_first_wrong_field() {
        for (cron, position) in [
            ("", 1),
            ("@daily", 1),
            ("* * * *", 1),
            ("0 0 0 * * *", 11),
            ("60 * * * *", 1),
            ("0 24 * * *", 3),
            ("0 0 32 * *", 5),
            ("0 0 * 13 *", 7),
            ("0 0 * * MOO", 9),
            ("0 0 * * *;", 9),
            ("a b c d e", 1),
        ] {
            assert_eq!(check_cron(cron).map_err(|(at, _)| at), Err(position), "{cron}");
        }
    }
}
