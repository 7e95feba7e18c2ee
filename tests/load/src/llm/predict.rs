//! What the simulated server will do under a load, found by simulating it event by event: no time passes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::profile::{Model, Script};
use crate::arrivals::Random;
use crate::measure::Durations;

/// What is predicted of one load.
#[derive(Clone, Debug, Default)]
pub struct Prediction {
    /// Requests a second.
    pub rate: f64,
    /// From the arrival to the first token.
    pub first_token: Durations,
    /// From the arrival to the end.
    pub total: Durations,
    /// Requests that found the queue full.
    pub refused: u64,
    /// Mean share of the slots that were taken.
    pub utilisation: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A request has its next token.
    Token(usize),
    /// A request comes.
    Arrival(usize),
}

struct Request {
    at: Duration,
    script: Script,
    sent: usize,
}

/// Simulates requests that come by Poisson at `rate`, and forgets the first tenth.
pub fn predict(model: &Model, rate: f64, requests: usize, prompt_tokens: usize) -> Prediction {
    let mut random = Random::new(model.seed, 77);
    let mut at = 0.0;
    let arrivals = (0..requests).map(|_| {
        at += random.exponential() / rate;
        Duration::from_secs_f64(at)
    });
    let arrivals: Vec<Duration> = arrivals.collect();
    let scripts = (0..requests).map(|_| model.script(random.draw(), prompt_tokens, 0, 100_000));
    let scripts: Vec<Script> = scripts.collect();
    replay(model, &arrivals, scripts, rate, requests / 10)
}

/// Simulates what comes at known times, and forgets the first few.
pub fn replay(
    model: &Model,
    arrivals: &[Duration],
    scripts: Vec<Script>,
    rate: f64,
    warm_up: usize,
) -> Prediction {
    let mut prediction = Prediction {
        rate,
        ..Prediction::default()
    };
    let mut requests: Vec<Request> = arrivals
        .iter()
        .zip(scripts)
        .map(|(&at, script)| Request {
            at,
            script,
            sent: 0,
        })
        .collect();
    let mut events: BinaryHeap<Reverse<(Duration, Event)>> = requests
        .iter()
        .enumerate()
        .map(|(id, request)| Reverse((request.at, Event::Arrival(id))))
        .collect();
    let mut waiting: VecDeque<usize> = VecDeque::new();
    let mut busy = 0_usize;
    let (mut last, mut area) = (Duration::ZERO, 0.0);
    while let Some(Reverse((now, event))) = events.pop() {
        area += busy as f64 * now.saturating_sub(last).as_secs_f64();
        last = now;
        let started = match event {
            Event::Arrival(id) if busy < model.slots => Some(id),
            Event::Arrival(id) if waiting.len() < model.queue => {
                waiting.push_back(id);
                None
            }
            Event::Arrival(_) => {
                prediction.refused += 1;
                None
            }
            Event::Token(id) => {
                let request = &mut requests[id];
                request.sent += 1;
                let since = now.saturating_sub(request.at);
                if request.sent == 1 && id >= warm_up {
                    prediction.first_token.record(since);
                }
                match request.script.gaps.get(request.sent - 1) {
                    Some(gap) => {
                        let next = now + model.under_load(*gap, busy);
                        events.push(Reverse((next, Event::Token(id))));
                        None
                    }
                    None => {
                        if id >= warm_up {
                            prediction.total.record(since);
                        }
                        busy -= 1;
                        waiting.pop_front()
                    }
                }
            }
        };
        if let Some(id) = started {
            busy += 1;
            let first = model.under_load(requests[id].script.first, busy);
            events.push(Reverse((now + first, Event::Token(id))));
        }
    }
    prediction.utilisation = area / last.as_secs_f64().max(1e-9) / model.slots.max(1) as f64;
    prediction
}

/// The rate at which a share of the slots is taken, found by trying.
pub fn rate_for(model: &Model, utilisation: f64, prompt_tokens: usize) -> f64 {
    let alone = predict(model, 0.01, 200, prompt_tokens);
    let service = alone.total.mean().as_secs_f64().max(1e-6);
    let (mut low, mut high) = (0.0, model.slots as f64 / service);
    for _ in 0..9 {
        let middle = f64::midpoint(low, high);
        if predict(model, middle, 1000, prompt_tokens).utilisation < utilisation {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use touchstone_simulated_model::{PROFILES, Profile};

    use super::super::profile::Faults;
    use super::*;

    fn model(slots: usize, load_factor: f64) -> Model {
        let profile = Profile {
            first_token_sigma: 0.0,
            gap_sigma: 0.0,
            stall_rate: 0.0,
            prompt_ms_per_1000: 0.0,
            ..PROFILES[0]
        };
        Model {
            profile: Profile {
                first_token_ms: 100.0,
                gap_ms: 10.0,
                ..profile
            },
            slots,
            queue: 1000,
            load_factor,
            tokens: 11.0,
            tokens_sigma: 0.0,
            faults: Faults::default(),
            seed: 1,
        }
    }

    #[test]
    fn a_server_of_one_slot_queues_as_the_books_say() {
        // M/D/1 with 200 ms: the mean wait is u / (1 - u) * 100 ms.
        for utilisation in [0.3, 0.5, 0.8] {
            let prediction = predict(&model(1, 0.0), utilisation / 0.2, 40_000, 0);
            let wait = prediction.total.mean().as_secs_f64() - 0.2;
            let wanted = utilisation / (1.0 - utilisation) * 0.1;
            assert!(
                (wait / wanted - 1.0).abs() < 0.1,
                "{utilisation}: {wait} for {wanted}"
            );
            assert!((prediction.utilisation - utilisation).abs() < 0.02);
        }
    }

    #[test]
    fn what_comes_at_once_is_served_in_turn() {
        let model = Model {
            queue: 1,
            ..model(1, 0.0)
        };
        let scripts = vec![model.script(1, 0, 0, 100); 3];
        let prediction = replay(&model, &[Duration::ZERO; 3], scripts, 1.0, 0);
        assert_eq!(prediction.refused, 1);
        assert_eq!(prediction.total.count(), 2);
        let total = |q| prediction.total.quantile(q).as_millis();
        assert_eq!((total(0.5), total(1.0)), (200, 400));
        assert_eq!(prediction.first_token.max().as_millis(), 300);
    }

    #[test]
    fn a_full_house_is_slower() {
        let alone = predict(&model(10, 0.5), 0.01, 100, 0).total.quantile(0.5);
        let full = predict(&model(10, 0.5), 60.0, 2000, 0);
        let (first, last) = (alone.as_secs_f64(), full.total.min().as_secs_f64());
        assert!(last > first * 1.3, "{first} and {last}");
    }
}
