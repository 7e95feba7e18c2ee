use super::*;
use crate::domain::gate::sample::rivers;
use crate::domain::gate::{Gate, Verdict};
use crate::domain::prompt::Budget;

const LIMITS: Limits = Limits {
    max_sentences: 3,
    min_share: 0.0,
    min_confidence: 0.1,
};

fn author(seed: u64, faults: CitationFaults) -> Author<'static> {
    Author {
        model: "gpt-4o",
        seed,
        profile: Profile::named("gpt-4o").unwrap(),
        faults,
        errors: ErrorRates::default(),
        limits: LIMITS,
    }
}

fn prompt(question: &str) -> Prompt {
    let budget = Budget {
        context_chars: 9_000,
        history_turns: 0,
        history_chars: 0,
        max_tokens: 500,
    };
    Prompt::grounded(question, rivers(), &[], None, budget)
}

fn answer(script: &Script) -> String {
    script
        .pieces
        .iter()
        .map(|(_, piece)| piece.as_str())
        .collect()
}

#[test]
fn repeats_itself_by_seed() {
    let prompt = prompt("How long is the Nile?");
    let write = |seed| author(seed, CitationFaults::default()).write(&prompt);
    assert_eq!(write(1), write(1));
    assert_ne!(write(1).pieces, write(2).pieces);
    assert!(answer(&write(1)).contains("6,650 km") && answer(&write(1)).contains("[1]"));
}

#[test]
fn every_fault_is_caught_and_no_sound_claim_is_struck() {
    let only = |fault| match fault {
        Fault::FabricatedId => CitationFaults {
            fabricated_id: 1.0,
            ..CitationFaults::default()
        },
        Fault::Misattributed => CitationFaults {
            misattributed: 1.0,
            ..CitationFaults::default()
        },
        Fault::Frankenquote => CitationFaults {
            frankenquote: 1.0,
            ..CitationFaults::default()
        },
        Fault::NumberFlip => CitationFaults {
            number_flip: 1.0,
            ..CitationFaults::default()
        },
        Fault::Ungrounded => CitationFaults {
            ungrounded: 1.0,
            ..CitationFaults::default()
        },
    };
    let faults = [
        Fault::FabricatedId,
        Fault::Misattributed,
        Fault::Frankenquote,
        Fault::NumberFlip,
        Fault::Ungrounded,
    ];
    for fault in faults {
        let mut injected = 0;
        for seed in 0..20 {
            let script = author(seed, only(fault)).write(&prompt("How long is the Nile?"));
            let mut gate = Gate::new("How long is the Nile?", rivers(), 0.6);
            let mut claims = gate.push(&answer(&script));
            claims.extend(gate.finish());
            assert_eq!(claims.len(), script.claims.len(), "{script:#?} {claims:#?}");
            for (claim, scripted) in claims.iter().zip(&script.claims) {
                assert_eq!(
                    claim.is_kept(),
                    scripted.fault.is_none(),
                    "{scripted:?} {claim:?}"
                );
                injected += usize::from(scripted.fault == Some(fault));
                if fault == Fault::Misattributed && scripted.fault.is_some() {
                    assert_eq!(claim.verdict, Some(Verdict::Misattributed));
                }
            }
        }
        assert!(injected >= 10, "{fault:?} {injected}");
    }
}

#[test]
fn speaks_russian_and_abstains() {
    let script = author(1, CitationFaults::default()).write(&prompt("Где живут пингвины зимой?"));
    assert_eq!(answer(&script), "В документах нет ответа на этот вопрос.");
    let plain = Prompt::plain(
        vec![super::super::prompt::Turn::new(
            super::super::prompt::Speaker::User,
            "Hello there",
        )],
        100,
        None,
    );
    assert!(answer(&author(1, CitationFaults::default()).write(&plain)).contains("Hello there"));
}

#[test]
fn failures_come_at_their_rate() {
    let errors = ErrorRates {
        rate_limited: 0.2,
        server_error: 0.2,
        cut: 0.2,
    };
    let mut counts = [0_u32; 4];
    for seed in 0..500 {
        let author = Author {
            errors,
            ..author(seed, CitationFaults::default())
        };
        counts[match author.write(&prompt("How long is the Nile?")).failure {
            Some(Failure::RateLimited(_)) => 0,
            Some(Failure::ServerError) => 1,
            Some(Failure::Cut(_)) => 2,
            None => 3,
        }] += 1;
    }
    assert!(
        counts[..3].iter().all(|count| (60..140).contains(count)),
        "{counts:?}"
    );
}
