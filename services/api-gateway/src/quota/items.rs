//! How many items a request has: batches are charged by what is in them.

use std::fmt;

use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Elements of the arrays directly inside a JSON object, whatever they are called, at least 1. What
/// is no such object costs 1: its service refuses it.
pub(crate) fn count(body: &[u8]) -> u64 {
    let mut json = serde_json::Deserializer::from_slice(body);
    json.deserialize_any(Object).unwrap_or(0).max(1)
}

/// Sums up the arrays of an object.
struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u64, A::Error> {
        let mut sum = 0u64;
        while map.next_key::<IgnoredAny>()?.is_some() {
            sum += map.next_value::<Elements>()?.0;
        }
        Ok(sum)
    }
}

/// Elements of an array; nothing of anything else.
struct Elements(u64);

impl<'de> serde::Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Array).map(Self)
    }
}

struct Array;

impl<'de> Visitor<'de> for Array {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<u64, A::Error> {
        let mut count = 0;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u64, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(0)
    }

    fn visit_bool<E>(self, _: bool) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_i64<E>(self, _: i64) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_u64<E>(self, _: u64) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_f64<E>(self, _: f64) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_str<E>(self, _: &str) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_cost_their_items_however_their_keys_are_written() {
        for (body, items) in [
            (r#"{"input": ["a", "b", "c"], "model": "m"}"#, 3),
            (r#"{"inp\u0075t": ["a", "b"]}"#, 2),
            (r#"{"points": [{"dense": [1, 2, 3]}, {"dense": [4]}]}"#, 2),
            (r#"{"input": ["a"], "input": ["b", "c"]}"#, 3),
            (
                r#"{"input": "one", "n": 3, "x": null, "y": {"z": [1, 2]}}"#,
                1,
            ),
            (r#"{"input": []}"#, 1),
            ("[1, 2, 3]", 1),
            ("no JSON", 1),
            (r#"{"input": ["a", "#, 1),
            ("", 1),
        ] {
            assert_eq!(count(body.as_bytes()), items, "{body}");
        }
    }
}
