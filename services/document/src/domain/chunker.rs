//! Cuts a text into sentence-aligned chunks.

use touchstone_text::sentences;
use touchstone_types::ByteSpan;

/// A heading of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// First byte of the heading in the text.
    pub offset: usize,
    /// From 1 to 6.
    pub level: u8,
    /// Its words, without markup.
    pub text: String,
}

/// How to cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkParams {
    /// Characters that a chunk should have.
    pub target_chars: usize,
    /// Sentences of a chunk that the next one repeats.
    pub overlap_sentences: usize,
    /// Characters that no chunk exceeds; a longer sentence is split.
    pub max_chars: usize,
}

impl Default for ChunkParams {
    fn default() -> Self {
        Self {
            target_chars: 800,
            overlap_sentences: 1,
            max_chars: 1200,
        }
    }
}

/// A chunk: a place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkSpan {
    /// Position among the chunks, from 0.
    pub ordinal: u32,
    /// The bytes.
    pub span: ByteSpan,
    /// Index of the heading that it stands under.
    pub heading: Option<usize>,
}

/// A sentence, or a piece of one that is too long.
#[derive(Clone, Copy)]
struct Unit {
    span: ByteSpan,
    chars: usize,
    /// Characters between the end of the unit before and this one.
    gap: usize,
    /// The heading that it stands under.
    section: Option<usize>,
    /// Whether that heading is this unit.
    starts_section: bool,
}

/// Units of one chunk: those before `new` stood in the chunk before as well.
struct Cut {
    start: usize,
    new: usize,
    end: usize,
}

/// Cuts `text` into chunks of about `target_chars`.
///
/// Chunks consist of whole sentences, in order; each repeats the last sentences of the one before,
/// unless a new section starts. A heading starts a chunk when the present one has a quarter of its
/// size. Every character that is not white space is in a chunk, no chunk has more than `max_chars`.
///
/// # Shapes
/// `headings` ascend by offset. A blank text has no chunks.
pub fn chunk(text: &str, headings: &[Heading], params: ChunkParams) -> Vec<ChunkSpan> {
    let max = params.max_chars.max(1);
    let target = params.target_chars.clamp(1, max);
    let units = units(text, headings, target, max);
    let mut cuts: Vec<Cut> = Vec::new();
    let mut new = 0;
    while new < units.len() {
        let (end, chars) = fill(&units, new, target, max);
        let floor = cuts.last().map_or(new, |before| before.start + 1);
        let start = repeat(
            &units,
            floor..new,
            params.overlap_sentences,
            max - chars,
            target / 2,
        );
        cuts.push(Cut { start, new, end });
        new = end;
    }
    cuts.iter()
        .zip(0..)
        .map(|(cut, ordinal)| span(&units, cut, ordinal))
        .collect()
}

fn span(units: &[Unit], cut: &Cut, ordinal: u32) -> ChunkSpan {
    let last = &units[cut.end - 1];
    ChunkSpan {
        ordinal,
        span: ByteSpan::new(units[cut.start].span.start, last.span.end),
        heading: units[cut.new].section.or(last.section),
    }
}

/// The unit behind the last one of a chunk that starts at `first`, and the chunk's characters.
fn fill(units: &[Unit], first: usize, target: usize, max: usize) -> (usize, usize) {
    let mut chars = units[first].chars;
    let mut end = first + 1;
    while let Some(unit) = units.get(end) {
        let longer = chars + unit.gap + unit.chars;
        // Past the target only when that lands closer to it than stopping here.
        let fits =
            longer <= target || (longer <= max && longer - target < target.saturating_sub(chars));
        if !fits || (unit.starts_section && chars >= target / 4) {
            break;
        }
        chars = longer;
        end += 1;
    }
    // A short rest of the text or of its section would make a poor chunk of its own.
    let (mut tail, mut longer) = (end, chars);
    while let Some(unit) = units.get(tail).filter(|unit| !unit.starts_section) {
        longer += unit.gap + unit.chars;
        if longer > max || longer - chars > target / 5 {
            return (end, chars);
        }
        tail += 1;
    }
    (tail, longer)
}

/// The unit to start with so that the last sentences of the chunk before are repeated.
///
/// `room` is what may be added, `longest` what one sentence may have.
fn repeat(
    units: &[Unit],
    candidates: std::ops::Range<usize>,
    sentences: usize,
    mut room: usize,
    longest: usize,
) -> usize {
    let mut start = candidates.end;
    for candidate in candidates.rev().take(sentences) {
        let needed = units[start].gap + units[candidate].chars;
        if units[start].starts_section || needed > room || units[candidate].chars > longest {
            break;
        }
        room -= needed;
        start = candidate;
    }
    start
}

fn units(text: &str, headings: &[Heading], target: usize, max: usize) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut end = 0;
    let mut passed = 0;
    for sentence in sentences(text) {
        for span in split(text, sentence, target, max) {
            let before = passed;
            passed += headings[passed..]
                .iter()
                .take_while(|h| h.offset < span.end)
                .count();
            units.push(Unit {
                span,
                chars: count(text, span.start, span.end),
                gap: count(text, end, span.start),
                section: passed.checked_sub(1),
                starts_section: passed > before,
            });
            end = span.end;
        }
    }
    units
}

fn count(text: &str, start: usize, end: usize) -> usize {
    text[start..end].chars().count()
}

/// The sentence itself, or its pieces when it has more than `max` characters.
///
/// Pieces have at most `target` characters; they end at white space if there is some in their
/// second half.
fn split(text: &str, sentence: ByteSpan, target: usize, max: usize) -> Vec<ByteSpan> {
    if sentence.len() <= max || count(text, sentence.start, sentence.end) <= max {
        return vec![sentence];
    }
    let mut pieces = Vec::new();
    let mut start = sentence.start;
    while start < sentence.end {
        let rest = &text[start..sentence.end];
        let limit = rest
            .char_indices()
            .nth(target)
            .map_or(rest.len(), |(at, _)| at);
        let window = &rest[..limit];
        let space = window
            .rfind(char::is_whitespace)
            .filter(|at| *at > limit / 2);
        let cut = if limit == rest.len() {
            limit
        } else {
            space.unwrap_or(limit)
        };
        let piece = rest[..cut].trim_end();
        if !piece.is_empty() {
            pieces.push(ByteSpan::new(start, start + piece.len()));
        }
        start += cut;
        start += text[start..sentence.end].len() - text[start..sentence.end].trim_start().len();
    }
    pieces
}

#[cfg(test)]
mod tests;
