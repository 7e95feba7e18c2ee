//! Writes like a language model, by seed: grounded text, delays, failures and citation faults.

mod writer;

use std::time::Duration;

use touchstone_text::{Language, detect};

use super::abstain;
use super::extract::{Limits, extract};
use super::prompt::Prompt;
use super::random::Random;
use super::tokens::pieces;
use writer::{Writer, flatten_lines};

/// Delays of a kind of model: log-normal, with rare stalls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// Median milliseconds to the first token.
    pub first_token_ms: f64,
    /// Deviation of the logarithm of it.
    pub first_token_sigma: f64,
    /// Milliseconds more per thousand tokens of the prompt.
    pub prompt_ms_per_1000: f64,
    /// Median milliseconds between tokens.
    pub gap_ms: f64,
    /// Deviation of the logarithm of it.
    pub gap_sigma: f64,
    /// Share of the gaps that are stalls.
    pub stall_rate: f64,
    /// Median milliseconds of a stall.
    pub stall_ms: f64,
}

const fn profile(name: &'static str, first_token_ms: f64, gap_ms: f64) -> Profile {
    Profile {
        name,
        first_token_ms,
        first_token_sigma: 0.5,
        prompt_ms_per_1000: first_token_ms / 10.0,
        gap_ms,
        gap_sigma: 0.3,
        stall_rate: 0.001,
        stall_ms: 1_500.0,
    }
}

/// The known profiles.
///
/// Medians after the published figures of llmsim 0.4 and of llm-d-inference-sim's latency notes.
pub const PROFILES: &[Profile] = &[
    Profile {
        stall_rate: 0.0,
        ..profile("instant", 0.0, 0.0)
    },
    profile("gpt-4o", 400.0, 25.0),
    profile("gpt-5", 600.0, 40.0),
    profile("gpt-5-mini", 300.0, 20.0),
    profile("o-series", 2_000.0, 30.0),
    profile("haiku", 200.0, 15.0),
    profile("sonnet", 500.0, 30.0),
    profile("8b-h100", 90.0, 12.0),
    profile("8b-l40s", 230.0, 30.0),
    profile("70b-h100x4", 320.0, 32.0),
];

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
        let profile = &self.profile;
        let millis = if at == 0 {
            let reading = profile.prompt_ms_per_1000 * f64::from(prompt_tokens) / 1000.0;
            reading + random.log_normal(profile.first_token_ms, profile.first_token_sigma)
        } else if random.chance(profile.stall_rate) {
            random.log_normal(profile.stall_ms, 0.5)
        } else {
            random.log_normal(profile.gap_ms, profile.gap_sigma)
        };
        Duration::from_secs_f64(millis / 1000.0)
    }

    fn failure(&self, pieces: usize, random: &mut Random) -> Option<Failure> {
        let draw = random.unit();
        let after = 1 + random.below(pieces.saturating_sub(1));
        let ErrorRates {
            rate_limited,
            server_error,
            cut,
        } = self.errors;
        if draw < rate_limited {
            Some(Failure::RateLimited(Duration::from_secs(1)))
        } else if draw < rate_limited + server_error {
            Some(Failure::ServerError)
        } else if draw < rate_limited + server_error + cut {
            Some(Failure::Cut(after))
        } else {
            None
        }
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
        let mut draw = random.unit();
        let faults = [
            (Fault::FabricatedId, self.faults.fabricated_id),
            (Fault::Misattributed, self.faults.misattributed),
            (Fault::Frankenquote, self.faults.frankenquote),
            (Fault::NumberFlip, self.faults.number_flip),
            (Fault::Ungrounded, self.faults.ungrounded),
        ];
        for (fault, rate) in faults {
            if draw < rate {
                return Some(fault);
            }
            draw -= rate;
        }
        None
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
