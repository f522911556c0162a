//! Due times of a schedule: five-field cron in an IANA zone, over changes of the clock.
//!
//! On the day a clock goes forward, a time that does not exist (`30 2 * * *`) is due at the first
//! moment after the gap, and an interval (`*/15 * * * *`) continues without the missing hour. On the day
//! it goes back, a fixed time is due once, the first time, and an interval through both hours.
//! `last` of one call is the time of the latest tick of the call before: so a tick is due exactly
//! once, on whichever machine.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{
    Timestamp, Zoned,
    tz::{TimeZone, TimeZoneDatabase},
};
use plue_plan::trigger::Misfire;

/// Runs that one call makes for missed ticks at most; the oldest are left out.
pub const MAX_CATCH_UP: usize = 100;
/// Ticks that one call looks at: more than a year of minutes.
const MAX_TICKS: usize = 600_000;
/// Seconds after its time in which a tick is not missed but merely late.
pub const GRACE_S: i64 = 60;

/// A schedule that cannot be read. Plans are checked before, so that this is rare.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The cron expression does not parse.
    #[error("`{0}` is no five-field cron expression")]
    Cron(String),
    /// The time zone is unknown.
    #[error("`{0}` is no time zone of the IANA database")]
    Zone(String),
}

/// A schedule as the plan has it.
#[derive(Debug, Clone, Copy)]
pub struct Schedule<'a> {
    /// The five fields of cron.
    pub cron: &'a str,
    /// IANA name of the zone.
    pub tz: &'a str,
    /// Policy for missed ticks.
    pub misfire: Misfire,
}

/// Due ticks and the time of the next one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Due {
    /// The ticks to start a run for, oldest first.
    pub ticks: Vec<Timestamp>,
    /// The latest tick up to now, whether it gets a run or not: `last` of the next call. None if
    /// there was no tick.
    pub latest: Option<Timestamp>,
    /// Ticks that get no run of their own.
    pub dropped: usize,
}

/// The ticks after `last` and up to `now` that a run is to be started for. `last` is the latest tick
/// that was settled, or when the schedule was registered.
///
/// # Errors
/// The schedule cannot be read.
pub fn due(schedule: &Schedule<'_>, last: Timestamp, now: Timestamp) -> Result<Due, ScheduleError> {
    let (cron, zone) = read(schedule)?;
    let mut ticks: Vec<Timestamp> = Vec::new();
    let mut seen = 0_usize;
    let mut at = last;
    while seen < MAX_TICKS
        && let Some(tick) = after(&cron, &zone, at).filter(|tick| *tick <= now)
    {
        seen += 1;
        ticks.push(tick);
        if ticks.len() > MAX_CATCH_UP {
            ticks.remove(0);
        }
        at = tick;
    }
    let latest = ticks.last().copied();
    let kept = match schedule.misfire {
        Misfire::CatchUp => ticks,
        Misfire::RunOnce => latest.into_iter().collect(),
        Misfire::Skip => latest.into_iter().filter(|tick| is_fresh(*tick, now)).collect(),
    };
    Ok(Due { dropped: seen - kept.len(), ticks: kept, latest })
}

/// The first tick after a moment, for people and for the timer. None if there is none in the next
/// years (30 February).
///
/// # Errors
/// The schedule cannot be read.
pub fn next(schedule: &Schedule<'_>, from: Timestamp) -> Result<Option<Timestamp>, ScheduleError> {
    let (cron, zone) = read(schedule)?;
    Ok(after(&cron, &zone, from))
}

fn is_fresh(tick: Timestamp, now: Timestamp) -> bool {
    now.as_second() - tick.as_second() <= GRACE_S
}

fn read(schedule: &Schedule<'_>) -> Result<(Cron, TimeZone), ScheduleError> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(schedule.cron);
    let cron = cron.map_err(|_| ScheduleError::Cron(schedule.cron.to_owned()))?;
    // The database of the program and not of the machine: the same ticks everywhere.
    let zone = TimeZoneDatabase::bundled().get(schedule.tz);
    let zone = zone.map_err(|_| ScheduleError::Zone(schedule.tz.to_owned()))?;
    Ok((cron, zone))
}

fn after(cron: &Cron, zone: &TimeZone, at: Timestamp) -> Option<Timestamp> {
    let local: Zoned = at.to_zoned(zone.clone());
    let found = cron.find_next_occurrence(&local, false).ok()?.timestamp();
    (found > at).then_some(found)
}

#[cfg(test)]
mod tests;
