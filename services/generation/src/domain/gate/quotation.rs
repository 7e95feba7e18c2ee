//! Claims with marks: verbatim, with quotations, or in other words.

use touchstone_types::ByteSpan;

use super::{Checked, Evidence, Gate, MIN_CLAIM_WORDS, Place, Token, Verdict};
use crate::domain::marks::{Group, marks, without};
use crate::domain::quotes::{quotations, widest};

/// Quotations with fewer words are no evidence beside other words: titles, single terms.
const MIN_QUOTED_WORDS: usize = 3;
/// Content words around quotations that need no support of their own.
const MAX_FRAME_WORDS: usize = 8;

impl Gate {
    /// Checks a sentence with marks.
    pub(super) fn check(&mut self, text: &str) -> Checked {
        let groups = cited(text);
        let body = without(text, &groups);
        let words = self.sources.analyse(&body, self.language);
        let cited: Vec<usize> = groups
            .iter()
            .flat_map(|group| group.markers.clone())
            .collect();
        let passages: Option<Vec<usize>> = cited
            .iter()
            .map(|marker| self.sources.by_marker(*marker))
            .collect();
        let Some(passages) = passages else {
            return Checked::unsound(Verdict::Fabricated);
        };
        let whole = self.find_whole(&body, &words, &cited, &passages);
        if !whole.is_empty() {
            return Checked::sound(whole, true);
        }
        let quoted = self.quoted(text, &groups);
        if quoted.is_empty() {
            return self.check_words(&words, &cited, &passages);
        }
        self.check_quotations(text, &groups, &quoted, &passages)
    }

    /// Every cited passage in which the whole text stands.
    fn find_whole(
        &self,
        body: &str,
        words: &[Token],
        cited: &[usize],
        passages: &[usize],
    ) -> Vec<Evidence> {
        let bare = body.trim().trim_start_matches(['-', '*', '•', '#', ' ']);
        let found = cited.iter().zip(passages).filter_map(|(marker, passage)| {
            let place = self.sources.find(*passage, bare, words)?;
            Some(Evidence::at(*marker, place))
        });
        found.collect()
    }

    /// The quotations that are evidence: long enough, and no title.
    fn quoted(&mut self, text: &str, groups: &[Group]) -> Vec<Quoted> {
        let mut spans = quotations(text);
        if let Some(wide) = widest(text)
            && !spans.contains(&wide)
            && !groups
                .iter()
                .any(|group| wide.start <= group.span.start && group.span.end <= wide.end)
        {
            let words = self.analyse(text, wide);
            let all = 0..self.sources.passages().len();
            let inner = wide.of(text).unwrap_or_default();
            if all
                .into_iter()
                .any(|passage| self.sources.find(passage, inner, &words).is_some())
            {
                spans = vec![wide];
            }
        }
        let mut found = Vec::new();
        let mut short = Vec::new();
        for span in spans {
            let words = self.analyse(text, span);
            let inner = span.of(text).unwrap_or_default().trim();
            let is_title = self
                .sources
                .passages()
                .iter()
                .any(|passage| passage.title == inner);
            if is_title || words.is_empty() {
                continue;
            }
            let list = if words.len() >= MIN_QUOTED_WORDS {
                &mut found
            } else {
                &mut short
            };
            list.push(Quoted { span, words });
        }
        // A short quotation alone is what the claim says; beside other words it is a term.
        if found.is_empty() && short.len() == 1 {
            let around = self.analyse_frame(text, &short, groups);
            if around.iter().filter(|word| !word.is_stopword).count() < MIN_CLAIM_WORDS {
                return short;
            }
        }
        found
    }

    /// The words around quotations and marks.
    fn analyse_frame(&mut self, text: &str, quoted: &[Quoted], groups: &[Group]) -> Vec<Token> {
        let frame = frame(text, quoted, groups);
        self.sources.analyse(&frame, self.language)
    }

    fn analyse(&mut self, text: &str, span: ByteSpan) -> Vec<Token> {
        let language = self.language;
        self.sources
            .analyse(span.of(text).unwrap_or_default(), language)
    }

    fn check_quotations(
        &mut self,
        text: &str,
        groups: &[Group],
        quoted: &[Quoted],
        passages: &[usize],
    ) -> Checked {
        let mut evidence = Vec::new();
        for quotation in quoted {
            // The marks behind a quotation are its own; without any, all of the claim's are.
            let own = groups
                .iter()
                .find(|group| group.span.start >= quotation.span.end);
            let markers: Vec<usize> = match own.or(groups.last()) {
                Some(group) => group.markers.clone(),
                None => Vec::new(),
            };
            let inner = quotation.span.of(text).unwrap_or_default();
            let found = self.find_quotation(inner, &quotation.words, &markers);
            if found.is_empty() {
                return Checked::unsound(self.diagnose(inner, &quotation.words, &markers));
            }
            evidence.extend(found);
        }
        let words = self.analyse_frame(text, quoted, groups);
        let ground = self.ground(passages);
        if !self.has_facts(&ground, &words) {
            return Checked::unsound(Verdict::UnsupportedNumber);
        }
        let content = words.iter().filter(|word| !word.is_stopword).count();
        if content > MAX_FRAME_WORDS {
            let markers: Vec<usize> = groups.iter().flat_map(|g| g.markers.clone()).collect();
            let framed = self.check_words(&words, &markers, passages);
            if !framed.verdict.is_some_and(Verdict::is_sound) {
                return framed;
            }
        }
        Checked::sound(evidence, false)
    }

    /// Where a quotation stands in the cited passages, whole or with parts left out (`…`).
    fn find_quotation(&mut self, inner: &str, words: &[Token], markers: &[usize]) -> Vec<Evidence> {
        let mut found = Vec::new();
        for marker in markers {
            let Some(passage) = self.sources.by_marker(*marker) else {
                continue;
            };
            if let Some(place) = self.sources.find(passage, inner, words) {
                found.push(Evidence::at(*marker, place));
            } else {
                found.extend(self.find_elided(passage, inner).into_iter().map(|span| {
                    let place = Place {
                        passage,
                        span,
                        is_exact: false,
                    };
                    Evidence::at(*marker, place)
                }));
            }
        }
        found
    }

    /// The parts of a quotation around `…`, in order in one passage; none unless all are there.
    fn find_elided(&mut self, passage: usize, inner: &str) -> Vec<ByteSpan> {
        let parts: Vec<&str> = inner
            .split('…')
            .flat_map(|part| part.split("..."))
            .map(|part| part.trim_matches(['[', ']', ' ', '(', ')']))
            .filter(|part| !part.is_empty())
            .collect();
        if parts.len() < 2 {
            return Vec::new();
        }
        let mut spans: Vec<ByteSpan> = Vec::new();
        for part in parts {
            let words = self.sources.analyse(part, self.language);
            let Some(place) = self.sources.find(passage, part, &words) else {
                return Vec::new();
            };
            let in_order = spans.last().is_none_or(|last| last.end <= place.span.start);
            if words.len() < 2 || !in_order {
                return Vec::new();
            }
            spans.push(place.span);
        }
        spans
    }

    /// Why a quotation does not hold.
    fn diagnose(&self, inner: &str, words: &[Token], markers: &[usize]) -> Verdict {
        let all = 0..self.sources.passages().len();
        let cited = |passage: &usize| markers.contains(&self.sources.passages()[*passage].marker);
        if all
            .clone()
            .any(|p| !cited(&p) && self.sources.find(p, inner, words).is_some())
        {
            return Verdict::Misattributed;
        }
        let fact = |token: &Token| token.has_digit || token.is_capital;
        if all
            .clone()
            .any(|p| self.sources.find_altered(p, words, fact))
        {
            return Verdict::UnsupportedNumber;
        }
        let (mut at, mut runs) = (0, 0);
        while at < words.len() {
            let run = self.sources.longest_run(&words[at..]);
            if run < 2 {
                return Verdict::Fabricated;
            }
            at += run;
            runs += 1;
        }
        if runs <= 4 {
            Verdict::Frankenquote
        } else {
            Verdict::Fabricated
        }
    }
}

/// A quotation that is evidence.
struct Quoted {
    span: ByteSpan,
    words: Vec<Token>,
}

/// The marks of a claim: those outside of quotations, or all when there are none outside.
fn cited(text: &str) -> Vec<Group> {
    let quoted = quotations(text);
    let all = marks(text);
    let outside = |group: &&Group| {
        !quoted
            .iter()
            .any(|q| q.start <= group.span.start && group.span.end <= q.end)
    };
    let found: Vec<Group> = all.iter().filter(outside).cloned().collect();
    if found.is_empty() { all } else { found }
}

/// The text around quotations and marks.
fn frame(text: &str, quoted: &[Quoted], groups: &[Group]) -> String {
    let mut holes: Vec<ByteSpan> = quoted.iter().map(|quotation| quotation.span).collect();
    holes.extend(groups.iter().map(|group| group.span));
    holes.sort_unstable_by_key(|span| span.start);
    let (mut frame, mut at) = (String::new(), 0);
    for hole in holes {
        frame.push_str(text.get(at..hole.start).unwrap_or_default());
        frame.push(' ');
        at = at.max(hole.end);
    }
    frame.push_str(&text[at..]);
    frame
}
