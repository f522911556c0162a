//! The pace of loops that look into the database whenever it changes.
//!
//! A look costs more the more there waits, and a busy server changes the database many hundred times a
//! second. A loop therefore rests for as long as its last look took: looking takes at most half of one core,
//! and changes meanwhile are one look together. Must not delay cheap looks.

use std::time::Duration;

use plue_runtime::{Clock, clock::Mark};

/// Looks that take less are cheap.
const CHEAP: Duration = Duration::from_millis(5);
/// A longer rest would delay the ends of runs and a stop for people to notice.
const LONGEST: Duration = Duration::from_millis(250);

/// A look into the database that begins now.
#[derive(Debug)]
pub(crate) struct Look {
    clock: Clock,
    begun: Mark,
}

// === impl Look ===

impl Look {
    pub(crate) fn begin(clock: Clock) -> Self {
        Self { clock, begun: clock.mark() }
    }

    /// Rests as this look demands.
    pub(crate) async fn rest(self) {
        if let Some(rest) = rest_after(self.clock.elapsed(self.begun)) {
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
