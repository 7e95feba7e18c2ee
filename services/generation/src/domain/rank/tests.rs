use super::*;
use crate::domain::extract::{Limits, extract, write};
use crate::domain::gate::sample::{passages, rivers};

const LIMITS: Limits = Limits {
    max_sentences: 1,
    min_share: 0.1,
    min_confidence: 0.2,
};

fn answer(question: &str, passages: &[Passage]) -> String {
    write(&extract(question, passages, LIMITS), passages)
}

#[test]
fn finds_the_sentence_that_answers() {
    assert_eq!(
        answer("How long is the Nile?", &rivers()),
        "It is 6,650 km long and flows through eleven countries. [1]"
    );
    assert_eq!(
        answer("When did Orellana sail down the Amazon?", &rivers()),
        "Francisco de Orellana sailed down it in 1541. [2]"
    );
    let russian = passages(&[
        "Байкал лежит в Сибири. Его глубина достигает 1642 метров. Озеро открыл Курбат Иванов.",
    ]);
    assert_eq!(
        answer("Какова глубина Байкала?", &russian),
        "Его глубина достигает 1642 метров. [1]"
    );
    assert_eq!(
        answer("Кто открыл озеро?", &russian),
        "Озеро открыл Курбат Иванов. [1]"
    );
}

#[test]
fn has_no_answer_to_what_the_context_does_not_hold() {
    assert_eq!(
        answer("Which metal has the highest melting point?", &rivers()),
        ""
    );
    assert_eq!(answer("", &rivers()), "");
    assert_eq!(answer("How long is the Nile?", &[]), "");
}

#[test]
fn shares_add_up_and_the_order_is_stable() {
    let ranked = rank("Which river is long?", &rivers());
    assert!((ranked.iter().map(|sentence| sentence.share).sum::<f64>() - 1.0).abs() < 1e-9);
    assert!(ranked.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert_eq!(ranked, rank("Which river is long?", &rivers()));
}

#[test]
fn headings_are_no_answers_but_help_their_neighbours() {
    let rules = passages(&[
        "# Lending of books\n\nEight at most, for 21 days.\n\n## Fines\n\n\
                            One rouble a day.",
    ]);
    let ranked = rank("What are the rules of lending books?", &rules);
    let texts: Vec<_> = ranked
        .iter()
        .filter_map(|sentence| sentence.span.of(&rules[0].text))
        .collect();
    assert_eq!(texts, ["Eight at most, for 21 days.", "One rouble a day."]);
}
