//! The command line of the evaluator.
//!
//! Must not read the environment: the engine clears it.

use std::num::NonZeroU32;

use crate::jail::LayerName;

/// Identity of this interpreter among those that are compared.
///
/// All must build the same plan from the same file; they differ in hash seed and heap layout, so
/// that a plan which depends on set order or addresses differs between them. Two of them may agree
/// by luck: on the order of a set of two texts every second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashSeed {
    /// Seed 0, heap as it comes.
    #[default]
    A,
    /// Another seed, free lists shuffled.
    B,
    /// This seed, free lists shuffled after it: a third opinion, unknown to an author who wrote a
    /// file to suit A and B.
    Number(NonZeroU32),
}

impl HashSeed {
    /// The seed as `CPython` takes it.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::A => 0,
            Self::B => 0x5eed,
            Self::Number(number) => number.get(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "A" => Some(Self::A),
            "B" => Some(Self::B),
            number => number.parse().ok().map(Self::Number),
        }
    }
}

/// The command line of the evaluator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// `--hash-seed A|B|NUMBER`, the number from 1 to 4294967295.
    pub hash_seed: HashSeed,
    /// Layers of `--allow-missing LAYER`, repeatable.
    pub allow_missing: Vec<LayerName>,
    /// `--check`: print the layers as JSON and exit.
    pub check: bool,
    /// `--drop-layer LAYER`, repeatable; only in builds with the feature `raw-language`.
    pub drop: Vec<LayerName>,
    /// `--raw`: run files without the language layer; only in builds with that feature.
    pub raw: bool,
}

/// A command line that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// The option does not exist.
    #[error("unknown option {0}")]
    Unknown(String),
    /// An option without its value.
    #[error("{0} needs a value")]
    NoValue(String),
    /// A value that the option does not take.
    #[error("{option} does not take {value}")]
    BadValue {
        /// Name of the option.
        option: String,
        /// Value of the option.
        value: String,
    },
}

impl Options {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// [`UsageError`] for anything that is not an option of the evaluator.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, UsageError> {
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(option) = arguments.next() {
            if option == "--check" {
                options.check = true;
                continue;
            }
            if cfg!(feature = "raw-language") && option == "--raw" {
                options.raw = true;
                continue;
            }
            let known = matches!(option.as_str(), "--hash-seed" | "--allow-missing")
                || (cfg!(feature = "raw-language") && option == "--drop-layer");
            if !known {
                return Err(UsageError::Unknown(option));
            }
            let Some(value) = arguments.next() else {
                return Err(UsageError::NoValue(option));
            };
            options.set(option, value)?;
        }
        Ok(options)
    }

    fn set(&mut self, option: String, value: String) -> Result<(), UsageError> {
        let layer = LayerName::parse(&value);
        match (option.as_str(), HashSeed::parse(&value), layer) {
            ("--hash-seed", Some(seed), _) => self.hash_seed = seed,
            ("--allow-missing", _, Some(layer)) => self.allow_missing.push(layer),
            ("--drop-layer", _, Some(layer)) => self.drop.push(layer),
            _ => return Err(UsageError::BadValue { option, value }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, UsageError> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn layers_are_allowed_one_by_one_and_by_name() {
        let options = parse("--hash-seed B --allow-missing tsc --allow-missing uid").unwrap();
        assert_eq!(options.hash_seed, HashSeed::B);
        assert_eq!(options.allow_missing, [LayerName::Tsc, LayerName::Uid]);
    }

    #[test]
    fn a_third_interpreter_has_a_seed_by_number_and_not_that_of_the_first() {
        let seed =
            |value: &str| parse(&format!("--hash-seed {value}")).map(|o| o.hash_seed.number());
        assert_eq!(seed("4294967295"), Ok(u32::MAX));
        for bad in ["0", "-1", "4294967296", "C"] {
            assert!(seed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn there_is_no_word_for_all_layers() {
        let refused = |value: &str| UsageError::BadValue {
            option: "--allow-missing".to_owned(),
            value: value.to_owned(),
        };
        assert_eq!(parse("--allow-missing all"), Err(refused("all")));
        assert_eq!(parse("--allow-missing *"), Err(refused("*")));
    }

    #[cfg(not(feature = "raw-language"))]
    #[test]
    fn a_layer_can_be_dropped_in_test_builds_only() {
        let unknown = UsageError::Unknown("--drop-layer".to_owned());
        assert_eq!(parse("--drop-layer seccomp"), Err(unknown));
    }
}
