//! What the child says: a JSON document, its length, and a mark, at the end of the stream.
//!
//! The end counts because a parser somewhere below may print to standard output on its way.

use serde::{Deserialize, Serialize};

use crate::formats::{ExtractError, Extracted, Heading, Limits};

const MARK: [u8; 8] = *b"\0TSPARSE";
const LENGTH: usize = size_of::<u64>();

/// The child's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Text {
        text: String,
        title: Option<String>,
        headings: Vec<(usize, u8, String)>,
        note: Option<String>,
    },
    Damaged(String),
    Encrypted,
    TooLarge(String),
    TooDeep,
    NoText,
}

impl Reply {
    /// The answer that stands for an outcome.
    pub(super) fn new(outcome: Result<Extracted, ExtractError>) -> Self {
        match outcome {
            Ok(found) => Self::Text {
                text: found.text,
                title: found.title,
                headings: found
                    .headings
                    .into_iter()
                    .map(|h| (h.offset, h.level, h.text))
                    .collect(),
                note: found.note,
            },
            Err(ExtractError::Encrypted) => Self::Encrypted,
            Err(ExtractError::TooLarge(why)) => Self::TooLarge(why),
            Err(ExtractError::TooDeep) => Self::TooDeep,
            Err(ExtractError::NoText) => Self::NoText,
            Err(ExtractError::Damaged(why)) => Self::Damaged(why),
            Err(other) => Self::Damaged(other.to_string()),
        }
    }

    /// The outcome that the answer stands for; headings outside of the text are dropped.
    pub(super) fn into_result(self) -> Result<Extracted, ExtractError> {
        match self {
            Self::Text {
                text,
                title,
                headings,
                note,
            } => {
                let headings = headings
                    .into_iter()
                    .filter(|(offset, ..)| text.is_char_boundary(*offset))
                    .map(|(offset, level, text)| Heading {
                        offset,
                        level,
                        text,
                    })
                    .collect();
                Ok(Extracted {
                    text,
                    title,
                    headings,
                    note,
                })
            }
            Self::Damaged(why) => Err(ExtractError::Damaged(why)),
            Self::Encrypted => Err(ExtractError::Encrypted),
            Self::TooLarge(why) => Err(ExtractError::TooLarge(why)),
            Self::TooDeep => Err(ExtractError::TooDeep),
            Self::NoText => Err(ExtractError::NoText),
        }
    }

    /// The bytes on the wire.
    pub(super) fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)?;
        let length = bytes.len() as u64;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&MARK);
        Ok(bytes)
    }
}

/// Reads the answer at the end of a stream.
pub(super) fn parse(stream: &[u8]) -> Option<Reply> {
    let rest = stream.strip_suffix(&MARK)?;
    let (rest, length) = rest.split_last_chunk::<LENGTH>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let json = rest.get(rest.len().checked_sub(length)?..)?;
    serde_json::from_slice(json).ok()
}

/// The most bytes that a stream may have: the text, escaped, its headings, and some noise.
pub(super) fn largest_reply(limits: Limits) -> usize {
    limits
        .max_output_bytes
        .saturating_mul(3)
        .saturating_add(1024 * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_survives_noise_before_it() {
        let found = Extracted {
            text: "Нил\n\"x\"".to_owned(),
            title: Some("t".to_owned()),
            headings: vec![Heading {
                offset: 0,
                level: 1,
                text: "Нил".to_owned(),
            }],
            note: Some("n".to_owned()),
        };
        let mut stream = b"Unicode mismatch\n".to_vec();
        stream.extend(Reply::new(Ok(found.clone())).encode().unwrap());
        assert_eq!(parse(&stream).unwrap().into_result().unwrap(), found);
    }

    #[test]
    fn a_cut_or_forged_stream_is_no_answer() {
        let stream = Reply::Encrypted.encode().unwrap();
        for end in 0..stream.len() {
            assert!(parse(&stream[..end]).is_none());
        }
        let mut forged = u64::MAX.to_le_bytes().to_vec();
        forged.extend_from_slice(&MARK);
        assert!(parse(&forged).is_none());
    }
}
