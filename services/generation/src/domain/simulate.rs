//! Writes like a language model, by seed: grounded text, delays, failures and citation faults.

mod writer;

use std::time::Duration;

use touchstone_simulated_model::{Profile, Random, by_share};
use touchstone_text::{Language, detect};

use super::abstain;
use super::extract::{Limits, extract};
use super::prompt::Prompt;
use super::tokens::pieces;
use writer::{Writer, flatten_lines};

/// Faults in the citations, each a share of the claims.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CitationFaults {
    /// Marks of no passage.
    pub fabricated_id: f64,
    /// Marks of another passage.
    pub misattributed: f64,
    /// Quotations stitched from two places.
    pub frankenquote: f64,
    /// A digit of a quotation changed.
    pub number_flip: f64,
    /// Sentences out of nowhere.
    pub ungrounded: f64,
}

/// Failures of the answer as a whole, each a share of the answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ErrorRates {
    /// 429 before the first byte.
    pub rate_limited: f64,
    /// 500 before the first byte.
    pub server_error: f64,
    /// The stream breaks in its middle.
    pub cut: f64,
}

/// A citation fault that was written on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A mark of no passage.
    FabricatedId,
    /// A mark of another passage.
    Misattributed,
    /// A quotation stitched from two places.
    Frankenquote,
    /// A digit of a quotation changed.
    NumberFlip,
    /// A sentence out of nowhere.
    Ungrounded,
}

/// A failure that was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 429, with the time to come back.
    RateLimited(Duration),
    /// 500.
    ServerError,
    /// The stream breaks after that many pieces.
    Cut(usize),
}

/// A claim of a scripted answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptedClaim {
    /// Its text.
    pub text: String,
    /// What is wrong with it, on purpose.
    pub fault: Option<Fault>,
}

/// An answer with everything about its delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// The claims; the answer is they, joined by spaces.
    pub claims: Vec<ScriptedClaim>,
    /// The answer in pieces, with the wait before each on an idle server.
    pub pieces: Vec<(Duration, String)>,
    /// Whether it fails.
    pub failure: Option<Failure>,
}

/// What a script depends on beside the prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Author<'a> {
    /// Name of the model.
    pub model: &'a str,
    /// Seed of the stack.
    pub seed: u64,
    /// Delays.
    pub profile: Profile,
    /// Citation faults.
    pub faults: CitationFaults,
    /// Failures.
    pub errors: ErrorRates,
    /// Of the extractive text below the phrasing.
    pub limits: Limits,
}

impl Author<'_> {
    /// Writes the answer to a prompt: the same one for the same model, prompt and seed.
    pub fn write(&self, prompt: &Prompt) -> Script {
        let text = prompt.text();
        let mut random = Random::of(&[self.model.as_bytes(), text.as_bytes()], self.seed);
        let claims = self.claims(prompt, &mut random);
        let answer = claims
            .iter()
            .map(|claim| claim.text.as_str())
            .collect::<Vec<_>>()
            .join(" ");
        let timed: Vec<(Duration, String)> = pieces(&answer)
            .into_iter()
            .take(prompt.max_tokens as usize)
            .enumerate()
            .map(|(at, piece)| {
                (
                    self.wait(at, prompt.tokens(), &mut random),
                    piece.to_owned(),
                )
            })
            .collect();
        let failure = self.failure(timed.len(), &mut random);
        Script {
            claims,
            pieces: timed,
            failure,
        }
    }

    fn wait(&self, at: usize, prompt_tokens: u32, random: &mut Random) -> Duration {
        if at == 0 {
            self.profile.first_token(prompt_tokens, random)
        } else {
            self.profile.gap(random)
        }
    }

    fn failure(&self, pieces: usize, random: &mut Random) -> Option<Failure> {
        let draw = random.unit();
        let after = 1 + random.below(pieces.saturating_sub(1));
        let shares = [
            (
                self.errors.rate_limited,
                Failure::RateLimited(Duration::from_secs(1)),
            ),
            (self.errors.server_error, Failure::ServerError),
            (self.errors.cut, Failure::Cut(after)),
        ];
        by_share(draw, &shares)
    }

    fn claims(&self, prompt: &Prompt, random: &mut Random) -> Vec<ScriptedClaim> {
        let question = prompt.question();
        let sound = |text: String| ScriptedClaim { text, fault: None };
        let Some(grounding) = &prompt.grounding else {
            return vec![sound(plain(prompt, random))];
        };
        let passages = &grounding.passages;
        let chosen = extract(question, passages, self.limits);
        if chosen.is_empty() {
            return vec![sound(abstain::sentence(question).to_owned())];
        }
        let language = detect(question);
        let writer = Writer { passages, language };
        chosen
            .iter()
            .map(|sentence| {
                let passage = &passages[sentence.passage];
                let quote = flatten_lines(sentence.span.of(&passage.text).unwrap_or_default());
                let wanted = self.draw_fault(random);
                let faulty = wanted.and_then(|fault| {
                    let text = writer.faulty(fault, &quote, sentence.passage, random)?;
                    Some(ScriptedClaim {
                        text,
                        fault: Some(fault),
                    })
                });
                faulty.unwrap_or_else(|| sound(writer.claim(&quote, passage.marker, random)))
            })
            .collect()
    }

    fn draw_fault(&self, random: &mut Random) -> Option<Fault> {
        let shares = [
            (self.faults.fabricated_id, Fault::FabricatedId),
            (self.faults.misattributed, Fault::Misattributed),
            (self.faults.frankenquote, Fault::Frankenquote),
            (self.faults.number_flip, Fault::NumberFlip),
            (self.faults.ungrounded, Fault::Ungrounded),
        ];
        by_share(random.unit(), &shares)
    }
}

/// An answer to a prompt without passages: a sentence about its own words.
fn plain(prompt: &Prompt, random: &mut Random) -> String {
    let question = prompt.question().trim();
    let russian = detect(question) == Language::Ru;
    let openings: &[&str] = if russian {
        &["Вы пишете:", "Ваш запрос:", "Речь о следующем:"]
    } else {
        &["You wrote:", "Your request was:", "This is about:"]
    };
    let closing = if russian {
        "Это ответ имитации языковой модели: сам по себе он ничего не значит."
    } else {
        "This answer comes from a simulated language model and means nothing by itself."
    };
    let opening = random.pick(openings).copied().unwrap_or_default();
    let words: Vec<&str> = question.split_whitespace().take(40).collect();
    format!("{opening} {}\n{closing}", words.join(" "))
}

#[cfg(test)]
mod tests;
