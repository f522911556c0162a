//! Ancestors of steps, for many queries at once: one bit per pair of a step and a queried step.
//!
//! For all of 5,000 steps it takes 3 MiB. Must not be built for lists above `limits::MAX_STEPS`.

use super::Graph;

/// The transitive closure of the dependencies of a [`Graph`], or the part of it that leads to some
/// steps.
#[derive(Debug, Clone)]
pub struct Ancestry {
    words: usize,
    /// Bit of each step; `None` if it is not queried.
    columns: Vec<Option<usize>>,
    bits: Vec<u64>,
}

impl Ancestry {
    /// Follows all dependencies. Steps in or behind a cycle have no ancestors.
    #[must_use]
    pub fn of(graph: &Graph<'_>) -> Self {
        Self::of_some(graph, 0..graph.len())
    }

    /// Only for questions about these steps as ancestors: linear in steps and edges for every 64
    /// of them.
    #[must_use]
    pub fn of_some(graph: &Graph<'_>, asked: impl IntoIterator<Item = usize>) -> Self {
        let mut columns = vec![None; graph.len()];
        let mut count = 0_usize;
        for at in asked {
            if let Some(slot) = columns.get_mut(at).filter(|slot| slot.is_none()) {
                *slot = Some(count);
                count += 1;
            }
        }
        let words = count.div_ceil(64);
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
                let column = columns.get(dependency).copied().flatten();
                if let Some(column) = column
                    && let Some(word) = row.get_mut(column / 64)
                {
                    *word |= 1 << (column % 64);
                }
            }
            let start = at * words;
            if let Some(own) = bits.get_mut(start..start + words) {
                own.copy_from_slice(&row);
            }
        }
        Self { words, columns, bits }
    }

    /// True if the step at `above` must have ended before the one at `below` starts; false if
    /// `above` is not among the queried steps.
    #[must_use]
    pub fn is_above(&self, above: usize, below: usize) -> bool {
        let Some(column) = self.columns.get(above).copied().flatten() else {
            return false;
        };
        let word = self.bits.get(below * self.words + column / 64);
        word.is_some_and(|word| word & (1 << (column % 64)) != 0)
    }
}
