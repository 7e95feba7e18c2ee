//! Phrases claims, and spoils them on purpose.

use touchstone_simulated_model::Random;
use touchstone_text::{Language, sentences};

use super::Fault;
use crate::domain::extract::flatten;
use crate::domain::passage::Passage;

/// Phrases claims over a context.
pub(super) struct Writer<'a> {
    pub passages: &'a [Passage],
    pub language: Language,
}

const FRAMES_EN: &[(&str, &str)] = &[
    ("", ""),
    ("According to the documents, ", ""),
    ("The source states: ", ""),
    ("As the text puts it, ", ""),
    ("The passage notes: ", ""),
    ("", ", as the document says"),
];
const FRAMES_RU: &[(&str, &str)] = &[
    ("", ""),
    ("Согласно документам, ", ""),
    ("В источнике сказано: ", ""),
    ("Как говорится в тексте, ", ""),
    ("В отрывке отмечается: ", ""),
    ("", ", как сказано в документе"),
];
const UNGROUNDED_EN: &[&str] = &[
    "Many observers consider this the most surprising development of recent decades",
    "Scholars widely agree that the underlying trend will continue to accelerate",
    "Critics have repeatedly questioned whether these figures deserve any trust",
    "A later investigation quietly overturned most of those conclusions",
];
const UNGROUNDED_RU: &[&str] = &[
    "Многие наблюдатели считают это самым неожиданным событием последних десятилетий",
    "Учёные сходятся во мнении, что подобная тенденция будет только усиливаться",
    "Критики неоднократно сомневались, заслуживают ли такие сведения доверия",
    "Более позднее расследование незаметно опровергло большинство этих выводов",
];

impl Writer<'_> {
    /// A sound claim.
    pub fn claim(&self, quote: &str, marker: usize, random: &mut Random) -> String {
        let frames = if self.language == Language::Ru {
            FRAMES_RU
        } else {
            FRAMES_EN
        };
        let (before, after) = random.pick(frames).copied().unwrap_or_default();
        let (open, close) = self.marks_for(quote);
        format!("{before}{open}{quote}{close}{after} [{marker}].")
    }

    /// Quotation marks that the quotation does not hold itself.
    fn marks_for(&self, quote: &str) -> (char, char) {
        let curly = ('“', '”');
        let angle = ('«', '»');
        let (first, second) = if self.language == Language::Ru {
            (angle, curly)
        } else {
            (curly, angle)
        };
        let holds = |(open, close): (char, char)| quote.contains(open) || quote.contains(close);
        if holds(first) && !holds(second) {
            second
        } else {
            first
        }
    }

    /// A claim with the fault; `None` where this quotation cannot have it.
    pub fn faulty(
        &self,
        fault: Fault,
        quote: &str,
        passage: usize,
        random: &mut Random,
    ) -> Option<String> {
        let marker = self.passages[passage].marker;
        match fault {
            Fault::FabricatedId => {
                let highest = self.passages.iter().map(|p| p.marker).max().unwrap_or(0);
                Some(self.claim(quote, highest + 1 + random.below(8), random))
            }
            Fault::Misattributed => {
                let others: Vec<usize> = self
                    .passages
                    .iter()
                    .filter(|other| !bare(&other.text).contains(&bare(quote)))
                    .map(|other| other.marker)
                    .collect();
                let other = *random.pick(&others)?;
                Some(self.claim(quote, other, random))
            }
            Fault::Frankenquote => {
                let stitched = self.stitch(quote, random)?;
                Some(self.claim(&stitched, marker, random))
            }
            Fault::NumberFlip => {
                let flipped = flip_digit(quote, random)?;
                (!self.stands(&flipped)).then(|| self.claim(&flipped, marker, random))
            }
            Fault::Ungrounded => {
                let list = if self.language == Language::Ru {
                    UNGROUNDED_RU
                } else {
                    UNGROUNDED_EN
                };
                let text = random.pick(list)?;
                let mark = if random.chance(0.5) {
                    format!(" [{marker}]")
                } else {
                    String::new()
                };
                Some(format!("{text}{mark}."))
            }
        }
    }

    /// The first half of the quotation and the second half of a sentence from elsewhere.
    fn stitch(&self, quote: &str, random: &mut Random) -> Option<String> {
        let all: Vec<&str> = self
            .passages
            .iter()
            .flat_map(|p| {
                sentences(&p.text)
                    .into_iter()
                    .filter_map(|span| span.of(&p.text))
            })
            .filter(|text| text.split_whitespace().count() >= 6 && !text.contains('\n'))
            .collect();
        let words: Vec<&str> = quote.split_whitespace().collect();
        let other: Vec<&str> = random.pick(&all)?.split_whitespace().collect();
        if words.len() < 6 {
            return None;
        }
        let mut stitched = words[..words.len() / 2].to_vec();
        stitched.extend(&other[other.len() / 2..]);
        let stitched = stitched.join(" ");
        (!self.stands(&stitched)).then_some(stitched)
    }

    /// Whether the words stand in a row in any passage.
    fn stands(&self, quote: &str) -> bool {
        self.passages
            .iter()
            .any(|passage| bare(&passage.text).contains(&bare(quote)))
    }
}

/// Letters and digits only.
fn bare(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// A sentence over several lines would end a claim at each of them.
pub(super) fn flatten_lines(text: &str) -> String {
    if text.contains(['\n', '\r', '[']) {
        flatten(text)
    } else {
        text.to_owned()
    }
}

/// The text with one digit changed.
fn flip_digit(text: &str, random: &mut Random) -> Option<String> {
    let digits: Vec<usize> = text
        .char_indices()
        .filter(|(_, c)| c.is_ascii_digit())
        .map(|(at, _)| at)
        .collect();
    let at = *random.pick(&digits)?;
    let old = text.as_bytes()[at] - b'0';
    let new = (old + 1 + u8::try_from(random.below(9)).unwrap_or(0)) % 10;
    Some(format!("{}{new}{}", &text[..at], &text[at + 1..]))
}
