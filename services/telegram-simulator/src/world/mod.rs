//! The seeded world: users, channels, and what happens to them.

mod channel;
mod text;

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub use channel::{Change, Channel, Media, Post, Slot};

use crate::objects::DC;
use crate::scenario::{Language, Scenario};

/// First bare id of the channels that are made up.
const FIRST_CHANNEL: i64 = 1_006_503_122;

/// Somebody who can log in, or write in a group.
#[derive(Debug, Clone)]
pub struct User {
    /// Bare id.
    pub id: i64,
    /// What proves that a client met them.
    pub access_hash: i64,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Public name.
    pub username: Option<String>,
    /// Telephone number; made up, in a range that no network gives out.
    pub phone: String,
}

/// Users and channels.
#[derive(Debug, Clone)]
pub struct World {
    /// Everybody who can log in.
    pub users: Vec<User>,
    channels: BTreeMap<i64, Channel>,
    names: BTreeMap<String, i64>,
    ticks: i32,
    /// Further data centres.
    elsewhere: Vec<i32>,
}

impl World {
    /// Makes the world of a scenario.
    pub fn new(scenario: &Scenario) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(scenario.seed);
        let now = i32::try_from(scenario.now.timestamp()).unwrap_or(i32::MAX);
        let users = (0..i64::from(scenario.users))
            .map(|n| user(700_000 + n, &mut rng))
            .collect();
        let mut world = Self {
            users,
            channels: BTreeMap::new(),
            names: BTreeMap::new(),
            ticks: 0,
            elsewhere: scenario.elsewhere.clone(),
        };
        for listed in &scenario.channel {
            let mut channel = Channel::new(
                world.next_id(),
                rng.random(),
                listed.title.clone(),
                listed.username.clone(),
                listed.invite.clone(),
                listed.group,
                listed.language,
                listed.posts,
                now,
            );
            if listed.joined {
                channel.members.insert(world.users[0].id);
            }
            world.add(channel);
        }
        for number in 1..=scenario.channels {
            let language = if number % 2 == 0 {
                Language::En
            } else {
                Language::Ru
            };
            let (title, username) = text::channel(language, number, &mut rng);
            // Every ninth is private, every seventh a group.
            let private = number % 9 == 0;
            let channel = Channel::new(
                world.next_id(),
                rng.random(),
                title,
                (!private).then_some(username),
                private.then(|| format!("invite{number:04}")),
                number % 7 == 0,
                language,
                scenario.posts / 2 + rng.random_range(0..=scenario.posts),
                now,
            );
            world.add(channel);
        }
        world
    }

    fn next_id(&self) -> i64 {
        FIRST_CHANNEL + self.channels.len() as i64
    }

    fn add(&mut self, channel: Channel) {
        if let Some(name) = &channel.username {
            self.names.insert(name.to_lowercase(), channel.id);
        }
        self.channels.insert(channel.id, channel);
    }

    /// The data centre that holds a media.
    pub fn data_centre_of(&self, media: i64) -> i32 {
        let count = self.elsewhere.len() as i64 + 1;
        match usize::try_from(media.rem_euclid(count)) {
            Ok(at) if at > 0 => self.elsewhere[at - 1],
            _ => DC,
        }
    }

    /// All channels, by id.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.values()
    }

    /// The channel with a bare id.
    pub fn channel(&self, id: i64) -> Option<&Channel> {
        self.channels.get(&id)
    }

    /// The channel with a bare id, to change it.
    pub fn channel_mut(&mut self, id: i64) -> Option<&mut Channel> {
        self.channels.get_mut(&id)
    }

    /// The channel with a public name, in any case.
    pub fn named(&self, name: &str) -> Option<&Channel> {
        self.channels.get(self.names.get(&name.to_lowercase())?)
    }

    /// The channel with an invite link's hash.
    pub fn invited(&self, invite: &str) -> Option<i64> {
        let with = |channel: &&Channel| channel.invite.as_deref() == Some(invite);
        self.channels.values().find(with).map(|channel| channel.id)
    }

    /// A user: one who can log in, or one whom groups made up.
    pub fn user(&self, id: i64) -> User {
        let known = self.users.iter().find(|user| user.id == id);
        known
            .cloned()
            .unwrap_or_else(|| user(id, &mut ChaCha8Rng::seed_from_u64(id as u64)))
    }

    /// How often the views of every post grew.
    pub fn ticks(&self) -> i32 {
        self.ticks
    }

    /// Lets the views of every post grow.
    pub fn tick(&mut self) {
        self.ticks = self.ticks.saturating_add(1);
    }
}

fn user(id: i64, rng: &mut ChaCha8Rng) -> User {
    let (first_name, last_name) = text::person(rng);
    User {
        id,
        access_hash: rng.random(),
        username: Some(format!("{}{id}", first_name.to_lowercase())),
        first_name,
        last_name,
        phone: format!("99966{:05}", id % 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_world_has_durov_and_a_few_dozen_others() {
        let world = World::new(&Scenario::default());
        assert!(world.channels().count() >= 30);
        let durov = world.named("Durov").unwrap();
        assert_eq!(durov.id, FIRST_CHANNEL);
        assert_eq!(durov.last_id(), 468);
        let private = world.channels().find(|c| c.username.is_none()).unwrap();
        assert_eq!(
            world.invited(private.invite.as_deref().unwrap()),
            Some(private.id)
        );
        for language in [Language::En, Language::Ru] {
            assert!(world.channels().any(|channel| channel.language == language));
        }
    }
}
