//! The pace of loops that read the database after each change.
//!
//! A busy server changes the database many hundred times a second, and reads get more expensive with the
//! backlog. A loop therefore rests as long as its last read took: reads use at most half of a core, and changes
//! meanwhile share one read. Must not delay cheap reads.

use std::time::Duration;

use plue_runtime::{Clock, clock::Mark};

/// Duration below which a read is cheap.
const CHEAP: Duration = Duration::from_millis(5);
/// Longest rest; a longer one would visibly delay ends of runs and the shutdown.
const LONGEST: Duration = Duration::from_millis(250);

/// A read of the database that starts now.
#[derive(Debug)]
pub(crate) struct Look {
    clock: Clock,
    started_at: Mark,
}

// === impl Look ===

impl Look {
    pub(crate) fn begin(clock: Clock) -> Self {
        Self { clock, started_at: clock.mark() }
    }

    /// Rests in proportion to the duration of the read.
    pub(crate) async fn rest(self) {
        if let Some(rest) = rest_after(self.clock.elapsed(self.started_at)) {
            self.clock.sleep(rest).await;
        }
    }
}

fn rest_after(took: Duration) -> Option<Duration> {
    (took >= CHEAP).then(|| took.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::rest_after;

    #[test]
    fn rests_follow_the_cost_of_a_look() {
        let ms = Duration::from_millis;
        assert_eq!(rest_after(Duration::from_micros(4_900)), None);
        assert_eq!(rest_after(ms(10)), Some(ms(10)));
        assert_eq!(rest_after(ms(1_000)), Some(ms(250)));
        assert_eq!(rest_after(Duration::MAX), Some(ms(250)));
    }
}
