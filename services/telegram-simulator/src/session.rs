//! Sessions: what a client and the data centre owe each other, over however many connections.
//!
//! # Source
//! <https://core.telegram.org/mtproto/description#session>,
//! <https://core.telegram.org/mtproto/service_messages>

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use grammers_tl_types::{self as tl, Serializable};
use tokio::sync::mpsc::UnboundedSender;

/// Messages of a client that are remembered, to know repetitions.
const REMEMBERED: usize = 1_024;

/// Answers that are kept until the client acknowledges them.
const KEPT: usize = 256;

/// Sessions that are remembered: clients make a new one for each connection, and never say that they are done
/// with the last.
const SESSIONS: usize = 1_024;

/// A session's name: the authorization key and the client's number.
pub(crate) type SessionId = (i64, i64);

/// What a connection is asked to send.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub session: SessionId,
    pub message: Message,
}

/// A message of the data centre before it gets its identifier.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub body: Vec<u8>,
    /// Whether the client has to acknowledge it.
    pub content: bool,
    /// Whether it answers a message of the client.
    pub answer: bool,
}

/// What to do with a message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// It is new.
    New,
    /// It came before; this is what was answered, if that is still known.
    Repeated(Option<Vec<u8>>),
}

#[derive(Debug, Default)]
struct Session {
    user: Option<i64>,
    updates: bool,
    /// The layer that the client said it speaks.
    layer: Option<i32>,
    /// The connection that hears of updates, and the way to it.
    connection: Option<(u64, UnboundedSender<Outgoing>)>,
    content_messages: i32,
    last_id: i64,
    seen: VecDeque<i64>,
    /// Answers by the message that they answer and by their own identifier.
    answers: VecDeque<(i64, i64, Vec<u8>)>,
}

/// All sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<SessionId, Session>>);

impl Sessions {
    /// Attaches a connection; true when the session is new.
    pub(crate) fn attach(
        &self,
        id: SessionId,
        connection: u64,
        way: &UnboundedSender<Outgoing>,
    ) -> bool {
        let mut sessions = self.lock();
        let known = sessions.contains_key(&id);
        if !known && sessions.len() >= SESSIONS {
            sessions.retain(|_, session| session.connection.is_some());
        }
        let session = sessions.entry(id).or_default();
        session.connection = Some((connection, way.clone()));
        !known
    }

    /// Detaches a connection from whatever it was attached to.
    pub(crate) fn detach(&self, connection: u64) {
        for session in self.lock().values_mut() {
            if session
                .connection
                .as_ref()
                .is_some_and(|(own, _)| *own == connection)
            {
                session.connection = None;
            }
        }
    }

    /// Notes who is logged in, and that updates are wanted.
    pub(crate) fn wants_updates(&self, id: SessionId, user: i64) {
        if let Some(session) = self.lock().get_mut(&id) {
            session.user = Some(user);
            session.updates = true;
        }
    }

    /// The layer of a session, after taking note of what the client says now.
    pub(crate) fn layer(&self, id: SessionId, said: Option<i32>) -> i32 {
        let mut sessions = self.lock();
        let session = sessions.entry(id).or_default();
        session.layer = said.or(session.layer);
        session.layer.unwrap_or(tl::LAYER)
    }

    /// Forgets a session.
    pub(crate) fn destroy(&self, id: SessionId) -> bool {
        self.lock().remove(&id).is_some()
    }

    /// Sessions with a connection.
    pub(crate) fn connected(&self) -> usize {
        self.lock()
            .values()
            .filter(|session| session.connection.is_some())
            .count()
    }

    /// Takes note of a message of the client.
    pub(crate) fn receive(&self, id: SessionId, message: i64) -> Receipt {
        let mut sessions = self.lock();
        let session = sessions.entry(id).or_default();
        if session.seen.contains(&message) {
            let answer = session
                .answers
                .iter()
                .find(|(asked, _, _)| *asked == message);
            return Receipt::Repeated(answer.map(|(_, _, body)| body.clone()));
        }
        if session.seen.len() == REMEMBERED {
            session.seen.pop_front();
        }
        session.seen.push_back(message);
        Receipt::New
    }

    /// Identifier and sequence number of the next message to the client.
    ///
    /// `now` is in units of 2^-32 seconds since 1970.
    pub(crate) fn number(&self, id: SessionId, now: i64, message: &Message) -> (i64, i32) {
        let mut sessions = self.lock();
        let session = sessions.entry(id).or_default();
        // Answers are 1 modulo 4, everything else is 3.
        let rest = if message.answer { 1 } else { 3 };
        let fresh = (now & !3).max((session.last_id & !3) + 4);
        session.last_id = fresh | rest;
        let sequence = session.content_messages * 2 + i32::from(message.content);
        session.content_messages += i32::from(message.content);
        (session.last_id, sequence)
    }

    /// Keeps an answer until it is acknowledged.
    pub(crate) fn keep(&self, id: SessionId, asked: i64, own: i64, body: Vec<u8>) {
        if let Some(session) = self.lock().get_mut(&id) {
            if session.answers.len() == KEPT {
                session.answers.pop_front();
            }
            session.answers.push_back((asked, own, body));
        }
    }

    /// Drops what the client acknowledged.
    pub(crate) fn acknowledge(&self, id: SessionId, messages: &[i64]) {
        if let Some(session) = self.lock().get_mut(&id) {
            session
                .answers
                .retain(|(_, own, _)| !messages.contains(own));
        }
    }

    /// An answer by its own identifier.
    pub(crate) fn kept(&self, id: SessionId, own: i64) -> Option<Vec<u8>> {
        let sessions = self.lock();
        let session = sessions.get(&id)?;
        let kept = session
            .answers
            .iter()
            .find(|(_, message, _)| *message == own);
        kept.map(|(_, _, body)| body.clone())
    }

    /// Sends updates to every session of these users that wants them and is connected.
    pub(crate) fn push(&self, users: &BTreeSet<i64>, updates: &tl::enums::Updates) {
        self.send(users, &updates.to_bytes());
    }

    /// Sends what claims to be an update and is not.
    pub(crate) fn push_malformed(&self, users: &BTreeSet<i64>) {
        let mut body = 0x74ae_4240_u32.to_le_bytes().to_vec();
        body.extend([0xff; 24]);
        self.send(users, &body);
    }

    fn send(&self, users: &BTreeSet<i64>, body: &[u8]) {
        for (id, session) in self.lock().iter() {
            let meant = session.updates && session.user.is_some_and(|user| users.contains(&user));
            if let (true, Some((_, way))) = (meant, &session.connection) {
                let message = Message {
                    body: body.to_vec(),
                    content: true,
                    answer: false,
                };
                // A connection that just ended hears of it by difference.
                let _ = way.send(Outgoing {
                    session: *id,
                    message,
                });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(content: bool, answer: bool) -> Message {
        Message {
            body: Vec::new(),
            content,
            answer,
        }
    }

    #[test]
    fn identifiers_grow_and_say_what_they_are() {
        let sessions = Sessions::default();
        let id = (1, 2);
        let now = 1_700_000_000 << 32;
        let (first, sequence) = sessions.number(id, now, &message(true, true));
        assert_eq!((first % 4, sequence), (1, 1));
        let (second, sequence) = sessions.number(id, now, &message(false, false));
        assert_eq!((second % 4, sequence), (3, 2));
        assert!(second > first);
        let (third, sequence) = sessions.number(id, now - 100, &message(true, false));
        assert_eq!((third % 4, sequence), (3, 3));
        assert!(third > second, "also when the clock goes back");
    }

    #[test]
    fn sessions_without_a_connection_are_forgotten_when_there_are_many() {
        let sessions = Sessions::default();
        let (way, _inbox) = tokio::sync::mpsc::unbounded_channel();
        let stays = (1, 0);
        assert!(sessions.attach(stays, 0, &way));
        for number in 1..5_000_u32 {
            let connection = u64::from(number);
            assert!(sessions.attach((1, number.into()), connection, &way));
            sessions.detach(connection);
        }
        assert!(sessions.lock().len() <= SESSIONS);
        assert!(!sessions.attach(stays, 0, &way), "it is the same");
    }

    #[test]
    fn a_repeated_message_gets_the_same_answer_until_it_is_acknowledged() {
        let sessions = Sessions::default();
        let id = (1, 2);
        assert_eq!(sessions.receive(id, 40), Receipt::New);
        sessions.keep(id, 40, 41, vec![9]);
        assert_eq!(sessions.receive(id, 40), Receipt::Repeated(Some(vec![9])));
        assert_eq!(sessions.kept(id, 41), Some(vec![9]));
        sessions.acknowledge(id, &[41]);
        assert_eq!(sessions.receive(id, 40), Receipt::Repeated(None));
    }
}
