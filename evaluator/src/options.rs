//! The command line of the evaluator.
//!
//! Must not read the environment: the engine clears it.

use crate::jail::LayerName;

/// Which of the two interpreters of a pair this is.
///
/// Both must build the same plan from the same file; they differ in hash seed and heap layout, so
/// that a plan which depends on set order or addresses differs between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashSeed {
    /// Seed 0, heap as it comes.
    #[default]
    A,
    /// Another seed, free lists shuffled.
    B,
}

/// What the command line said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// `--hash-seed A|B`
    pub hash_seed: HashSeed,
    /// `--allow-missing LAYER`, repeatable.
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
    /// No such option.
    #[error("unknown option {0}")]
    Unknown(String),
    /// An option without its value.
    #[error("{0} needs a value")]
    NoValue(String),
    /// A value that the option does not take.
    #[error("{option} does not take {value}")]
    BadValue {
        /// The option.
        option: String,
        /// Its value.
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
        match (option.as_str(), value.as_str(), layer) {
            ("--hash-seed", "A", _) => self.hash_seed = HashSeed::A,
            ("--hash-seed", "B", _) => self.hash_seed = HashSeed::B,
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
