//! Prices of models, by day, and the cost of an answer.
//!
//! Prices are data: `prices.toml` of this crate, replaced or extended by the operator. Money is
//! whole picodollars, so that sums are exact. Must not guess: a model without a price has none.

use std::fmt;

use jiff::civil::Date;
use serde::Deserialize;

use crate::answer::Usage;

/// The list that comes with plue.
const SHIPPED: &str = include_str!("../prices.toml");
/// Digits after the point that a price per million tokens may have: a picodollar per token.
const MAX_DECIMALS: usize = 6;

/// Money in units of 10⁻¹² dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct PicoUsd(pub u64);

/// The prices of one model from one day on, in picodollars per token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    model: String,
    since: toml::value::Datetime,
    #[serde(deserialize_with = "per_million")]
    input: u64,
    #[serde(deserialize_with = "per_million")]
    output: u64,
    #[serde(deserialize_with = "per_million")]
    cache_write_5m: u64,
    #[serde(deserialize_with = "per_million")]
    cache_write_1h: u64,
    #[serde(deserialize_with = "per_million")]
    cache_read: u64,
    large_prompt: Option<LargePrompt>,
}

/// A factor on all prices above a size of prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct LargePrompt {
    above_tokens: u64,
    times: u64,
}

/// Prices of many models.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceList {
    #[serde(default)]
    price: Vec<Price>,
}

/// A list of prices that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the list of prices cannot be read: {0}")]
pub struct BadPrices(String);

// === impl PicoUsd ===

impl PicoUsd {
    /// The amount of zero dollars.
    pub const ZERO: Self = Self(0);

    /// Whole picodollars of an amount in dollars, rounded down; `None` if it is negative, no number or
    /// more than about 18 million.
    pub fn from_usd(dollars: f64) -> Option<Self> {
        let pico = dollars * 1e12;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "the range is checked"
        )]
        (pico >= 0.0 && pico < u64::MAX as f64).then_some(Self(pico as u64))
    }

    /// The sum; the largest amount if there is no larger one.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The rest; nothing if `other` is more.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for PicoUsd {
    /// Dollars, rounded up to a hundredth of a cent: what is left of a budget is never shown too large.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = self.0.div_ceil(100_000_000);
        write!(f, "${}.{:04}", hundredths / 10_000, hundredths % 10_000)
    }
}

// === impl PriceList ===

impl PriceList {
    /// The list that comes with plue.
    ///
    /// # Errors
    /// Never, as a test shows.
    pub fn shipped() -> Result<Self, BadPrices> {
        Self::parse(SHIPPED)
    }

    /// Reads a list: `[[price]]` tables with `model`, `since`, and the five prices.
    ///
    /// # Errors
    /// No such TOML, or a price that is no decimal number with at most six digits after its point.
    pub fn parse(text: &str) -> Result<Self, BadPrices> {
        toml::from_str(text).map_err(|error| BadPrices(error.message().to_owned()))
    }

    /// Adds `other`, whose entries win over equal ones.
    #[must_use]
    pub fn extended(mut self, other: Self) -> Self {
        let mut price = other.price;
        price.append(&mut self.price);
        Self { price }
    }

    /// The price of `model` on `day`: the longest name that fits, then the newest day.
    pub fn find(&self, model: &str, day: Date) -> Option<&Price> {
        let mut best: Option<&Price> = None;
        for price in &self.price {
            let fits = price.fits(model) && price.since().is_some_and(|since| since <= day);
            let rank = |it: &Price| (it.model.len(), it.since());
            if fits && best.is_none_or(|best| rank(price) > rank(best)) {
                best = Some(price);
            }
        }
        best
    }
}

// === impl Price ===

impl Price {
    fn fits(&self, model: &str) -> bool {
        match self.model.strip_suffix('*') {
            Some(beginning) => model.starts_with(beginning),
            None => self.model == model,
        }
    }

    fn since(&self) -> Option<Date> {
        let date = self.since.date?;
        let (year, month) = (i16::try_from(date.year).ok()?, i8::try_from(date.month).ok()?);
        Date::new(year, month, i8::try_from(date.day).ok()?).ok()
    }

    /// The most that a request can cost: every input token at the dearest rate, all of `max_tokens`.
    pub fn at_most(&self, input_tokens: u64, max_tokens: u64) -> PicoUsd {
        let dearest = self.input.max(self.cache_write_5m).max(self.cache_write_1h);
        let times = self.times(input_tokens);
        sum([(input_tokens, dearest), (max_tokens, self.output)], times)
    }

    /// The output tokens that `left` pays for after a prompt of `input_tokens`.
    pub fn affordable_output(&self, left: PicoUsd, input_tokens: u64) -> u64 {
        let rest = left.minus(self.at_most(input_tokens, 0));
        let rate = self.output.saturating_mul(self.times(input_tokens));
        rest.0.checked_div(rate).unwrap_or(u64::MAX)
    }

    /// The cost of an answer; `None` if the API did not report its tokens.
    pub fn cost(&self, usage: &Usage) -> Option<PicoUsd> {
        let (input, output) = (usage.input_tokens?, usage.output_tokens?);
        let written = usage.cache_creation_input_tokens.unwrap_or(0);
        let read = usage.cache_read_input_tokens.unwrap_or(0);
        // Without a lifetime, tokens written count at the dearer rate.
        let (short, long) = match usage.cache_creation {
            Some(by_life) => {
                let short = by_life.ephemeral_5m_input_tokens;
                (short, by_life.ephemeral_1h_input_tokens.max(written.saturating_sub(short)))
            }
            None => (written, 0),
        };
        let prompt = input.saturating_add(short).saturating_add(long).saturating_add(read);
        let parts = [
            (input, self.input),
            (output, self.output),
            (short, self.cache_write_5m),
            (long, self.cache_write_1h),
            (read, self.cache_read),
        ];
        Some(sum(parts, self.times(prompt)))
    }

    fn times(&self, prompt_tokens: u64) -> u64 {
        match self.large_prompt {
            Some(large) if prompt_tokens > large.above_tokens => large.times,
            _ => 1,
        }
    }
}

fn sum<const N: usize>(parts: [(u64, u64); N], times: u64) -> PicoUsd {
    let products = parts.iter().map(|(tokens, rate)| u128::from(*tokens) * u128::from(*rate));
    let total = products.sum::<u128>().saturating_mul(u128::from(times));
    PicoUsd(u64::try_from(total).unwrap_or(u64::MAX))
}

/// `"2.50"` dollars per million tokens, as picodollars per token.
fn per_million<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    decimal(&text).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "`{text}` is no price: dollars per million tokens, as \"2.50\""
        ))
    })
}

fn decimal(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > MAX_DECIMALS {
        return None;
    }
    let padded = format!("{part:0<MAX_DECIMALS$}");
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(padded.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn shipped() -> PriceList {
        PriceList::shipped().expect("the list is right")
    }

    #[test]
    fn shipped_prices_are_found_by_model_and_day() {
        let list = shipped();
        let today = date(2026, 11, 22);
        let opus = list.find("claude-opus-5-5", today).expect("a price");
        assert_eq!((opus.input, opus.output), (4_000_000, 20_000_000));
        assert_eq!(list.find("claude-opus-5", today).expect("a price").input, 5_000_000);
        assert_eq!(list.find("claude-opus-5-5", date(2026, 1, 1)), None);
        assert_eq!(list.find("somebody-elses", today), None);
    }

    #[test]
    fn operators_prices_win() {
        let own = "[[price]]\nmodel = \"claude-opus-5-5*\"\nsince = 2026-10-07\ninput = \"1\"\n\
             output = \"2\"\ncache_write_5m = \"1\"\ncache_write_1h = \"1\"\ncache_read = \"0\"\n";
        let list = shipped().extended(PriceList::parse(own).expect("read"));
        let price = list.find("claude-opus-5-5", date(2026, 11, 22)).expect("a price");
        assert_eq!(price.output, 2_000_000);
    }

    #[test]
    fn answers_cost_the_prices_of_the_table() {
        let list = shipped();
        let price = list.find("claude-opus-5-5", date(2026, 11, 22)).expect("a price");
        let usage = Usage {
            input_tokens: Some(1_000),
            output_tokens: Some(500),
            cache_creation_input_tokens: Some(2_000),
            cache_read_input_tokens: Some(10_000),
            cache_creation: None,
        };
        // 1,000 × 4 + 500 × 20 + 2,000 × 5 + 10,000 × 0.20 dollars per million.
        assert_eq!(price.cost(&usage), Some(PicoUsd(26_000_000_000)));
        assert_eq!(price.cost(&Usage::default()), None);
    }

    #[test]
    fn large_prompts_cost_more_by_the_table() {
        let list = shipped();
        let price = list.find("claude-haiku-5-5", date(2026, 11, 22)).expect("a price");
        let cost = |input| {
            let usage =
                Usage { input_tokens: Some(input), output_tokens: Some(0), ..Usage::default() };
            price.cost(&usage).expect("known").0
        };
        assert_eq!(cost(100_000), 100_000 * 100_000);
        assert_eq!(cost(100_001), 100_001 * 100_000 * 5);
    }

    #[test]
    fn no_answer_costs_more_than_its_reservation() {
        let list = shipped();
        for price in &list.price {
            let reserved = price.at_most(200_000, 1_000);
            let split =
                [(200_000, 0, 0), (0, 200_000, 0), (0, 0, 200_000), (50_000, 100_000, 50_000)];
            for (input, written, read) in split {
                let usage = Usage {
                    input_tokens: Some(input),
                    output_tokens: Some(1_000),
                    cache_creation_input_tokens: Some(written),
                    cache_read_input_tokens: Some(read),
                    cache_creation: None,
                };
                assert!(price.cost(&usage).expect("known") <= reserved, "{price:?}");
            }
            let left = price.at_most(1_000, 777);
            assert_eq!(price.affordable_output(left, 1_000), 777, "{price:?}");
            assert_eq!(price.affordable_output(PicoUsd::ZERO, 1_000), 0);
        }
    }

    #[test]
    fn bad_prices_are_refused() {
        for bad in ["", ".5", "1.", "-1", "1e3", "0.1234567", "1,5"] {
            assert_eq!(decimal(bad), None, "{bad}");
        }
        assert!(PriceList::parse("[[price]]\nmodel = \"x\"").is_err());
    }

    #[test]
    fn amounts_are_shown_rounded_up() {
        assert_eq!(PicoUsd(26_000_000_000).to_string(), "$0.0260");
        assert_eq!(PicoUsd(1).to_string(), "$0.0001");
        assert_eq!(PicoUsd::from_usd(2.5), Some(PicoUsd(2_500_000_000_000)));
        assert_eq!(PicoUsd::from_usd(-1.0), None);
        assert_eq!(PicoUsd::from_usd(f64::NAN), None);
    }
}
