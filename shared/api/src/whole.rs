//! Whole numbers as JSON Schema sees them: `2.0` is an integer, and there is no largest one.
//!
//! Numbers past the type's range become its largest value, which the rules of the request then
//! judge. A field without a rule of its own shows `value_type = usize` in the schema, because the
//! format `int32` of an `u32` would promise a refusal.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{Error, Unexpected, Visitor};

/// A type of whole numbers.
pub trait Whole: Sized {
    /// The number, or the largest of the type.
    fn saturating(number: u64) -> Self;
}

impl Whole for u32 {
    fn saturating(number: u64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

impl Whole for usize {
    fn saturating(number: u64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

/// Reads a field that may be absent or `null`.
pub fn optional<'de, T: Whole, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(Number(PhantomData))
}

/// Reads a field that must be there.
pub fn required<'de, T: Whole, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let number = deserializer.deserialize_any(Number(PhantomData))?;
    number.ok_or_else(|| Error::invalid_type(Unexpected::Unit, &EXPECTED))
}

const EXPECTED: &str = "a whole number, 0 or more";

struct Number<T>(PhantomData<T>);

impl<T: Whole> Visitor<'_> for Number<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(T::saturating(number)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        let wrong = |_| E::invalid_value(Unexpected::Signed(number), &self);
        u64::try_from(number)
            .map_err(wrong)
            .map(|number| Some(T::saturating(number)))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        if number >= 0.0 && number.fract() == 0.0 {
            // The cast keeps to the range of `u64`.
            Ok(Some(T::saturating(number as u64)))
        } else {
            Err(E::invalid_value(Unexpected::Float(number), &self))
        }
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Sample {
        #[serde(default, deserialize_with = "super::optional")]
        limit: Option<u32>,
    }

    fn read(json: &str) -> Result<Option<u32>, String> {
        let sample: Result<Sample, _> = serde_json::from_str(json);
        sample
            .map(|sample| sample.limit)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn reads_every_notation_of_a_whole_number() {
        assert_eq!(read("{}"), Ok(None));
        assert_eq!(read("{\"limit\":null}"), Ok(None));
        for number in ["7", "7.0", "0.7e1"] {
            assert_eq!(
                read(&format!("{{\"limit\":{number}}}")),
                Ok(Some(7)),
                "{number}"
            );
        }
        for number in ["4294967296", "1e30", "99999999999999999999999"] {
            assert_eq!(
                read(&format!("{{\"limit\":{number}}}")),
                Ok(Some(u32::MAX)),
                "{number}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_whole_number() {
        for value in ["-1", "-0.5", "1.5", "\"7\"", "true", "[]"] {
            let error = read(&format!("{{\"limit\":{value}}}")).unwrap_err();
            assert!(error.contains("a whole number"), "{error}");
        }
    }
}
