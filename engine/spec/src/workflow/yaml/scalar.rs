//! Plain scalars by the core schema of YAML 1.2: `no`, `on` and `12:30` are texts, `0755` is the
//! number 755 and `1.10` the number 1.1.

use serde_json::Number;

use super::Data;

/// The value of a plain scalar; `Err` is the reason why JSON has no such value.
pub(super) fn resolve(text: &str) -> Result<Data, &'static str> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Data::Null,
        "true" | "True" | "TRUE" => Data::Bool(true),
        "false" | "False" | "FALSE" => Data::Bool(false),
        _ => match number(text)? {
            Some(number) => Data::Number(number, text.to_owned()),
            None => Data::Text(text.to_owned()),
        },
    })
}

/// True if a number would be written back differently, so that a text may have been meant.
pub(crate) fn is_lossy(spelled: &str) -> bool {
    let digits = spelled.trim_start_matches(['-', '+']);
    if digits.starts_with("0x") || digits.starts_with("0o") || digits.contains(['e', 'E']) {
        return false;
    }
    match digits.split_once('.') {
        Some((_, fraction)) => fraction.is_empty() || fraction.ends_with('0'),
        None => digits.len() > 1 && digits.starts_with('0'),
    }
}

const TOO_LARGE: &str = "is a number of more than 64 bits";

fn number(text: &str) -> Result<Option<Number>, &'static str> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Err("is no finite number");
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|c| c.is_digit(radix))
        {
            let number = u64::from_str_radix(digits, radix).map_err(|_| TOO_LARGE)?;
            return Ok(Some(number.into()));
        }
    }
    if !is_decimal(unsigned) {
        return Ok(None);
    }
    if unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let plain = text.strip_prefix('+').unwrap_or(text);
        let whole = plain.parse::<i64>().map(Number::from);
        let number = whole.or_else(|_| plain.parse::<u64>().map(Number::from));
        return number.map(Some).map_err(|_| TOO_LARGE);
    }
    let double = text.parse::<f64>().ok().filter(|double| double.is_finite());
    double.and_then(Number::from_f64).map(Some).ok_or("is no finite number")
}

/// True for `[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?` and `\.[0-9]+(…)?`.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let exponent_fits =
        exponent.is_none_or(|text| digits(text.strip_prefix(['-', '+']).unwrap_or(text)));
    let mantissa_fits = match mantissa.split_once('.') {
        None => digits(mantissa),
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
    };
    mantissa_fits && exponent_fits
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn json_of(text: &str) -> Json {
        match resolve(text) {
            Ok(Data::Null) => Json::Null,
            Ok(Data::Bool(truth)) => Json::Bool(truth),
            Ok(Data::Number(number, _)) => Json::Number(number),
            Ok(Data::Text(text)) => Json::String(text),
            Ok(Data::List(_) | Data::Map(_)) => json!("no scalar"),
            Err(why) => json!({ "error": why }),
        }
    }

    #[test]
    fn plain_scalars_are_typed_as_yaml_1_2() {
        for (text, expected) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("NULL", json!(null)),
            ("true", json!(true)),
            ("False", json!(false)),
            ("no", json!("no")),
            ("on", json!("on")),
            ("Yes", json!("Yes")),
            ("y", json!("y")),
            ("0755", json!(755)),
            ("0o755", json!(493)),
            ("0x1F", json!(31)),
            ("0b1", json!("0b1")),
            ("+5", json!(5)),
            ("-0", json!(0)),
            ("1.10", json!(1.1)),
            ("1.", json!(1.0)),
            (".5", json!(0.5)),
            ("-1e3", json!(-1000.0)),
            ("1_000", json!("1_000")),
            ("12:30", json!("12:30")),
            ("2024-01-01", json!("2024-01-01")),
            ("1.2.3", json!("1.2.3")),
            (".", json!(".")),
            ("-", json!("-")),
            ("e5", json!("e5")),
            ("1e", json!("1e")),
            ("18446744073709551615", json!(u64::MAX)),
            ("18446744073709551616", json!({ "error": TOO_LARGE })),
            (".inf", json!({ "error": "is no finite number" })),
            ("1e999", json!({ "error": "is no finite number" })),
        ] {
            assert_eq!(json_of(text), expected, "{text:?}");
        }
    }

    #[test]
    fn numbers_that_round_trip_differently_are_detected() {
        for lossy in ["0755", "1.10", "1.0", "-007", "3."] {
            assert!(is_lossy(lossy), "{lossy}");
        }
        for faithful in ["0", "10", "1.5", "0.5", "0x10", "1e10", "-3", "100"] {
            assert!(!is_lossy(faithful), "{faithful}");
        }
    }
}
