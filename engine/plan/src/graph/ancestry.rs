//! Who must have ended before whom, for many questions at once: one bit per pair of steps.
//!
//! 5,000 steps take 3 MiB. Must not be built for lists above `limits::MAX_STEPS`.

use super::Graph;

/// The transitive closure of the dependencies of a [`Graph`].
#[derive(Debug, Clone)]
pub struct Ancestry {
    words: usize,
    bits: Vec<u64>,
}

impl Ancestry {
    /// Follows all dependencies. Steps in or behind a cycle have no ancestors.
    #[must_use]
    pub fn of(graph: &Graph<'_>) -> Self {
        let words = graph.len().div_ceil(64);
        let mut bits = vec![0_u64; words * graph.len()];
        let mut order: Vec<(usize, usize)> = graph
            .depths()
            .into_iter()
            .enumerate()
            .filter_map(|(at, depth)| depth.map(|depth| (depth, at)))
            .collect();
        order.sort_unstable();
        let mut row = vec![0_u64; words];
        for (_, at) in order {
            row.fill(0);
            for &dependency in graph.dependencies(at) {
                let start = dependency * words;
                let above = bits.get(start..start + words).unwrap_or_default();
                row.iter_mut().zip(above).for_each(|(to, from)| *to |= from);
                if let Some(word) = row.get_mut(dependency / 64) {
                    *word |= 1 << (dependency % 64);
                }
            }
            let start = at * words;
            if let Some(own) = bits.get_mut(start..start + words) {
                own.copy_from_slice(&row);
            }
        }
        Self { words, bits }
    }

    /// Whether the step at `above` must have ended before the one at `below` starts.
    #[must_use]
    pub fn is_above(&self, above: usize, below: usize) -> bool {
        let word = self.bits.get(below * self.words + above / 64);
        above / 64 < self.words && word.is_some_and(|word| word & (1 << (above % 64)) != 0)
    }
}
