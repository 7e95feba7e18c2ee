//! The citation gate against the simulated model's faults: what it catches, what it strikes wrongly.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use touchstone_eval::{Collection, Document, Query};
use touchstone_generation::domain::extract::Limits;
use touchstone_generation::domain::gate::{Claim, Gate, Verdict};
use touchstone_generation::domain::passage::Passage;
use touchstone_generation::domain::prompt::{Budget, Prompt};
use touchstone_generation::domain::simulate::{Author, CitationFaults, ErrorRates, Fault, Script};
use touchstone_simulated_model::PROFILES;
use touchstone_text::Language;
use touchstone_types::{ChunkId, DocumentId};
use uuid::Uuid;

use crate::table::{Goal, Table};

/// Answers that are written and checked, at least.
const ANSWERS: usize = 10_000;
/// Passages of a context: the one with the answer and its neighbours.
const PASSAGES: usize = 5;
/// Share of the claims that get each fault.
const RATE: f64 = 0.1;
/// As the service's configuration has it.
const MIN_SUPPORT: f64 = 0.6;

/// Writes answers with faults at known places and counts what the gate makes of them.
pub fn gate(datasets: &[PathBuf], table: &mut Table) -> anyhow::Result<()> {
    if datasets.is_empty() {
        table.skipped("citation gate", "no --dataset");
        return Ok(());
    }
    let mut collections = Vec::new();
    for path in datasets {
        collections.extend(touchstone_eval::load(path).context("cannot read the dataset")?);
    }
    let questions: usize = collections
        .iter()
        .map(|collection| collection.queries.len())
        .sum();
    let rounds = ANSWERS.div_ceil(questions.max(1));
    let mut counts = Counts::default();
    for collection in &collections {
        for query in &collection.queries {
            let passages = passages(collection, query);
            for seed in 0..rounds as u64 {
                counts.add(&query.text, &passages, seed);
            }
        }
    }
    counts.tell(table);
    Ok(())
}

/// The paragraph with the answer among its neighbours.
fn passages(collection: &Collection, query: &Query) -> Vec<Passage> {
    let documents = &collection.documents;
    let gold = query.relevant.first().map_or(0, |gold| gold.document);
    let first = gold
        .saturating_sub(PASSAGES / 2)
        .min(documents.len().saturating_sub(PASSAGES));
    let chosen = documents.iter().enumerate().skip(first).take(PASSAGES);
    chosen
        .enumerate()
        .map(|(at, (index, document))| passage(at + 1, index, document, collection.language))
        .collect()
}

fn passage(marker: usize, index: usize, document: &Document, language: Language) -> Passage {
    let id = Uuid::from_u128(index as u128 + 1);
    Passage {
        marker,
        document_id: DocumentId::from_uuid(id),
        chunk_id: ChunkId::from_uuid(id),
        title: document.title.clone(),
        start: 0,
        text: document.text.clone(),
        language,
        score: 1.0 / marker as f32,
        url: None,
    }
}

#[derive(Debug, Default)]
struct Counts {
    answers: usize,
    /// Written and caught, by fault.
    faults: BTreeMap<Fault, (usize, usize)>,
    /// Written and struck, without a fault.
    sound: (usize, usize),
    /// Delivered quotes, and those that are the document's bytes.
    quotes: (usize, usize),
    checked: usize,
    spent: Duration,
}

impl Counts {
    fn add(&mut self, question: &str, passages: &[Passage], seed: u64) {
        let author = Author {
            model: "bench",
            seed,
            profile: PROFILES[0],
            faults: CitationFaults {
                fabricated_id: RATE,
                misattributed: RATE,
                frankenquote: RATE,
                number_flip: RATE,
                ungrounded: RATE,
            },
            errors: ErrorRates::default(),
            limits: Limits {
                max_sentences: 3,
                min_share: 0.02,
                min_confidence: 0.2,
            },
        };
        let budget = Budget {
            context_chars: usize::MAX,
            history_turns: 0,
            history_chars: 0,
            max_tokens: u32::MAX,
        };
        let prompt = Prompt::grounded(question, passages.to_vec(), &[], None, budget);
        let script = author.write(&prompt);
        let text: String = script
            .pieces
            .iter()
            .map(|(_, piece)| piece.as_str())
            .collect();
        let started = Instant::now();
        let mut gate = Gate::new(question, passages.to_vec(), MIN_SUPPORT);
        let mut claims = gate.push(&text);
        claims.extend(gate.finish());
        self.spent += started.elapsed();
        self.answers += 1;
        self.checked += claims.len();
        self.compare(&script, &claims);
        for evidence in claims.iter().flat_map(|claim| &claim.evidence) {
            let quote = evidence.span.of(&passages[evidence.passage].text);
            self.quotes.0 += 1;
            self.quotes.1 += usize::from(quote.is_some_and(|quote| !quote.is_empty()));
        }
    }

    /// Lays the written claims over the checked ones, by their place in the text.
    fn compare(&mut self, script: &Script, claims: &[Claim]) {
        let mut start = 0;
        for written in &script.claims {
            let end = start + written.text.len();
            let mut covering = claims
                .iter()
                .filter(|claim| claim.stream.start < end && start < claim.stream.end);
            let is_struck = covering.any(|claim| !claim.verdict.is_none_or(Verdict::is_sound));
            let counted = match written.fault {
                Some(fault) => self.faults.entry(fault).or_default(),
                None => &mut self.sound,
            };
            counted.0 += 1;
            counted.1 += usize::from(is_struck);
            start = end + 1;
        }
    }

    fn tell(&self, table: &mut Table) {
        let share = |part: usize, of: usize| part as f64 / of.max(1) as f64;
        table.measured(
            "gate: answers checked",
            Goal::None,
            self.answers as f64,
            "",
            0,
        );
        let mut all = (0, 0);
        for (fault, (written, caught)) in &self.faults {
            let what = format!("gate: {fault:?} caught of {written}");
            table.measured(&what, Goal::None, share(*caught, *written), "", 4);
            all = (all.0 + written, all.1 + caught);
        }
        let what = format!("gate: recall over {} faults", all.0);
        table.measured(&what, Goal::AtLeast(0.99), share(all.1, all.0), "", 4);
        let what = format!("gate: false alarms over {} sound claims", self.sound.0);
        let alarms = 100.0 * share(self.sound.1, self.sound.0);
        table.measured(&what, Goal::AtMost(0.5), alarms, " %", 3);
        let exact = 100.0 * share(self.quotes.1, self.quotes.0);
        table.measured(
            "gate: quotes byte-exact",
            Goal::AtLeast(100.0),
            exact,
            " %",
            2,
        );
        let each = self.spent.as_secs_f64() * 1e3 / self.checked.max(1) as f64;
        table.measured("gate: time per claim", Goal::AtMost(1.0), each, " ms", 3);
    }
}
