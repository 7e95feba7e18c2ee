use std::borrow::Cow;
use std::fmt::Write;

use serde::de::IgnoredAny;

use super::output::{Output, heading_name};
use super::{ExtractError, Extracted, Limits, Rejection};

/// Deepest nesting of arrays and objects.
const MAX_DEPTH: usize = 64;
/// A longer key is cut where it stands in a path.
const MAX_KEY_CHARS: usize = 100;

/// Checks nesting and syntax: one JSON value, or one after the other.
pub(super) fn check(text: &str) -> Result<(), Rejection> {
    check_depth(text)?;
    let mut values = 0_usize;
    for value in serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>() {
        value.map_err(|_| Rejection::Malformed("it is not valid JSON"))?;
        values += 1;
    }
    if values == 0 {
        Err(Rejection::Empty)
    } else {
        Ok(())
    }
}

fn check_depth(text: &str) -> Result<(), Rejection> {
    let mut depth = 0_usize;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(Rejection::TooDeep(MAX_DEPTH));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(inner) = bytes.next() {
                    match inner {
                        b'\\' => {
                            bytes.next();
                        }
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Turns every leaf into a paragraph `path: value`; numbers stand as they were written.
///
/// Walks the bytes once and keeps nothing but the path, after [`check`] has proved the syntax.
pub(super) fn extract(text: &str, limits: Limits) -> Result<Extracted, ExtractError> {
    check(text)?;
    let mut walk = Walk {
        text,
        at: 0,
        frames: Vec::new(),
        path: String::new(),
        title: None,
        output: Output::new(text.len(), limits),
    };
    walk.run()?;
    let title = walk.title.take();
    walk.output.finish(title)
}

struct Frame {
    /// Length of the path of the container itself.
    path: usize,
    /// Elements begun so far, in an array.
    elements: usize,
    is_object: bool,
    expects_key: bool,
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
    frames: Vec<Frame>,
    path: String,
    title: Option<String>,
    output: Output,
}

impl<'a> Walk<'a> {
    fn run(&mut self) -> Result<(), ExtractError> {
        while let Some(&byte) = self.text.as_bytes().get(self.at) {
            match byte {
                b'{' | b'[' => {
                    self.enter_element(true);
                    self.frames.push(Frame {
                        path: self.path.len(),
                        elements: 0,
                        is_object: byte == b'{',
                        expects_key: byte == b'{',
                    });
                    self.at += 1;
                }
                b'}' | b']' => {
                    if let Some(frame) = self.frames.pop() {
                        self.path.truncate(frame.path);
                    }
                    self.at += 1;
                }
                b',' => {
                    if let Some(frame) = self.frames.last_mut() {
                        frame.expects_key = frame.is_object;
                    }
                    self.at += 1;
                }
                b'"' => {
                    let string = self.string()?;
                    if self.frames.last().is_some_and(|frame| frame.expects_key) {
                        self.key(&string);
                    } else {
                        self.leaf(&string)?;
                    }
                }
                b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                    let literal = self.literal();
                    if literal != "null" {
                        self.leaf(literal)?;
                    }
                }
                _ => self.at += 1,
            }
        }
        Ok(())
    }

    /// Puts the position of an array's element into the path; scalars share the array's own path.
    fn enter_element(&mut self, is_container: bool) {
        if let Some(frame) = self.frames.last_mut().filter(|frame| !frame.is_object) {
            self.path.truncate(frame.path);
            if is_container {
                // Writing to a string cannot fail.
                let _ = write!(self.path, "[{}]", frame.elements);
            }
            frame.elements += 1;
        }
    }

    fn key(&mut self, key: &str) {
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        frame.expects_key = false;
        self.path.truncate(frame.path);
        if !self.path.is_empty() {
            self.path.push('.');
        }
        let one_line = key.split_whitespace().collect::<Vec<_>>().join(" ");
        self.path.extend(one_line.chars().take(MAX_KEY_CHARS));
    }

    fn leaf(&mut self, value: &str) -> Result<(), ExtractError> {
        self.enter_element(false);
        let value = value.trim();
        if value.is_empty() {
            return Ok(());
        }
        if self.title.is_none() && self.frames.len() == 1 && matches!(&*self.path, "title" | "name")
        {
            self.title = Some(heading_name(value));
        }
        if !self.path.is_empty() {
            self.output.push(&self.path)?;
            self.output.push(": ")?;
        }
        self.output.push(value)?;
        self.output.end_block()
    }

    fn string(&mut self) -> Result<Cow<'a, str>, ExtractError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut length = 1;
        let mut bytes = rest.bytes().skip(1);
        let mut is_escaped = false;
        while let Some(byte) = bytes.next() {
            length += 1;
            match byte {
                b'\\' => {
                    is_escaped = true;
                    bytes.next();
                    length += 1;
                }
                b'"' => break,
                _ => {}
            }
        }
        self.at += length;
        let quoted = rest.get(..length).unwrap_or_default();
        if !is_escaped {
            return Ok(Cow::Borrowed(
                quoted.get(1..length.saturating_sub(1)).unwrap_or_default(),
            ));
        }
        let unescaped: String = serde_json::from_str(quoted)
            .map_err(|_| ExtractError::Damaged("it is not valid JSON".to_owned()))?;
        Ok(Cow::Owned(unescaped.replace('\0', "")))
    }

    fn literal(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
            .unwrap_or(rest.len());
        self.at += length.max(1);
        rest.get(..length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(json: &str) -> String {
        extract(json, Limits::default()).unwrap().text
    }

    #[test]
    fn leaves_stand_behind_their_path() {
        let json = r#"{"title":"Нил","facts":{"length km":6650.10,"flows":true,"none":null,"e":""},
            "mouths":["Rosetta","Damietta"],"towns":[{"name":"Cairo"},{"name":"\u041b\n\"x\""}],"m":[[1],[2,3]]}"#;
        let found = extract(json, Limits::default()).unwrap();
        assert_eq!(found.title.as_deref(), Some("Нил"));
        assert_eq!(
            found.text.split("\n\n").collect::<Vec<_>>(),
            [
                "title: Нил",
                "facts.length km: 6650.10",
                "facts.flows: true",
                "mouths: Rosetta",
                "mouths: Damietta",
                "towns[0].name: Cairo",
                "towns[1].name: Л\n\"x\"",
                "m[0]: 1",
                "m[1]: 2",
                "m[1]: 3",
            ]
        );
    }

    #[test]
    fn reads_bare_values_and_one_value_per_line() {
        assert_eq!(text("\"just words\""), "just words");
        assert_eq!(text("{\"a\":1}\n{\"a\":2}\n"), "a: 1\n\na: 2");
        assert_eq!(text("-1e5"), "-1e5");
    }

    #[test]
    fn depth_and_syntax_are_checked_first() {
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check(&deep(64)), Ok(()));
        assert_eq!(check(&deep(65)), Err(Rejection::TooDeep(64)));
        assert_eq!(check(&deep(100_000)), Err(Rejection::TooDeep(64)));
        assert_eq!(check("\"[[[[\\\"[[\""), Ok(()));
        for broken in ["{", "{\"a\":}", "[1,]", "nul", "{'a':1}", "01", "\"\u{1}\""] {
            assert!(
                matches!(check(broken), Err(Rejection::Malformed(_))),
                "{broken}"
            );
        }
        assert_eq!(check(" \n"), Err(Rejection::Empty));
    }

    #[test]
    fn a_long_key_above_many_leaves_does_not_multiply() {
        let json = format!(
            "{{\"{}\":[{}1]}}",
            "k".repeat(1_000_000),
            "1,".repeat(200_000)
        );
        let found = text(&json);
        assert!(found.len() < 30 * json.len());
    }

    proptest! {
        #[test]
        fn walks_whatever_the_checker_lets_in(json in r#"[\[\]{}",:a1 \\ntrue.ul-]{0,40}"#) {
            if check(&json).is_ok() {
                extract(&json, Limits::default()).unwrap();
            }
        }
    }
}
