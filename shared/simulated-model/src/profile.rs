use std::time::Duration;

use crate::Random;

/// Deviation of the logarithm of the length of a stall.
const STALL_SIGMA: f64 = 0.5;

/// Delays of a kind of server: log-normal, with rare stalls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// Median milliseconds to the first token of a short prompt.
    pub first_token_ms: f64,
    /// Deviation of the logarithm of it.
    pub first_token_sigma: f64,
    /// Milliseconds more per thousand tokens of the prompt that have to be read.
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

/// The known profiles; the first one takes no time at all.
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

impl Profile {
    /// The profile of this name.
    pub fn named(name: &str) -> Option<Self> {
        PROFILES
            .iter()
            .find(|profile| profile.name == name)
            .copied()
    }

    /// From the begin to the first token, on an idle server: it reads so many tokens of the prompt before.
    pub fn first_token(&self, unread_tokens: u32, random: &mut Random) -> Duration {
        let reading = self.prompt_ms_per_1000 * f64::from(unread_tokens) / 1000.0;
        millis(reading + random.log_normal(self.first_token_ms, self.first_token_sigma))
    }

    /// From one token to the next, on an idle server.
    pub fn gap(&self, random: &mut Random) -> Duration {
        millis(if random.chance(self.stall_rate) {
            random.log_normal(self.stall_ms, STALL_SIGMA)
        } else {
            random.log_normal(self.gap_ms, self.gap_sigma)
        })
    }
}

/// What a delay becomes when this share of the slots is taken: `factor` is how much longer it is when all
/// are, 0.5 being by a half.
pub fn under_load(delay: Duration, factor: f64, load: f64) -> Duration {
    delay.mul_f64(1.0 + factor * load.clamp(0.0, 1.0))
}

fn millis(millis: f64) -> Duration {
    Duration::from_secs_f64(millis / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_found_by_their_names_and_no_other() {
        assert_eq!(Profile::named("haiku").unwrap().name, "haiku");
        assert_eq!(Profile::named("Haiku"), None);
    }

    #[test]
    fn the_first_profile_takes_no_time_whatever_is_drawn() {
        let mut random = Random::of(&[b"instant"], 1);
        for _ in 0..1000 {
            assert_eq!(PROFILES[0].first_token(4000, &mut random), Duration::ZERO);
            assert_eq!(PROFILES[0].gap(&mut random), Duration::ZERO);
        }
    }

    #[test]
    fn a_long_prompt_is_read_before_the_first_token() {
        let profile = Profile {
            first_token_sigma: 0.0,
            ..Profile::named("gpt-4o").unwrap()
        };
        let first = |tokens| profile.first_token(tokens, &mut Random::of(&[], 1));
        assert_eq!(first(0), Duration::from_millis(400));
        assert_eq!(first(2000), Duration::from_millis(480));
    }

    #[test]
    fn gaps_have_their_median_and_their_share_of_stalls() {
        let profile = Profile {
            stall_rate: 0.1,
            ..Profile::named("8b-h100").unwrap()
        };
        let mut random = Random::of(&[b"gaps"], 3);
        let mut gaps: Vec<f64> = (0..20_001)
            .map(|_| profile.gap(&mut random).as_secs_f64() * 1e3)
            .collect();
        gaps.sort_by(f64::total_cmp);
        let stalls = gaps.iter().filter(|gap| **gap > 200.0).count();
        assert!((1_900..2_100).contains(&stalls), "{stalls}");
        // Nine tenths are gaps: their median is at 45 % of all.
        let median = gaps[9_000];
        assert!((median - 12.0).abs() < 0.3, "{median}");
    }

    #[test]
    fn a_full_house_is_slower_by_its_factor_and_no_more() {
        let delay = Duration::from_millis(100);
        assert_eq!(under_load(delay, 0.5, 0.0), delay);
        assert_eq!(under_load(delay, 0.5, 0.5), Duration::from_millis(125));
        assert_eq!(under_load(delay, 0.5, 7.0), Duration::from_millis(150));
    }
}
