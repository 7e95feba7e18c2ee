//! What a connection sends: results, services, statuses, sealed and packed.

use std::io::Read;

use flate2::Compression;
use flate2::read::GzEncoder;
use grammers_tl_types::{self as tl, Serializable};

use super::{Connection, GZIPPED};
use crate::rpc::Refusal;
use crate::session::{Message, SessionId};
use crate::wire::crypto::{self, Sender};
use crate::wire::framing::Framing;

/// Answers above this size are compressed.
const COMPRESSED: usize = 512;

const RPC_RESULT: u32 = 0xf35c_6d01;

impl Connection {
    /// Sends the result of a call, with the acknowledgement of its question.
    pub(super) fn result(
        &mut self,
        session: SessionId,
        asked: i64,
        outcome: Result<Vec<u8>, Refusal>,
    ) {
        let mut body = RPC_RESULT.to_le_bytes().to_vec();
        body.extend(asked.to_le_bytes());
        match outcome {
            Ok(answer) if self.center.scenario().gzip && answer.len() > COMPRESSED => {
                let mut packed = Vec::new();
                // Reading from memory into memory cannot fail.
                let _ = GzEncoder::new(&answer[..], Compression::fast()).read_to_end(&mut packed);
                body.extend(GZIPPED.to_le_bytes());
                body.extend(packed.to_bytes());
            }
            Ok(answer) => body.extend(answer),
            Err(refusal) => {
                let error = tl::types::RpcError {
                    error_code: refusal.code,
                    error_message: refusal.message,
                };
                body.extend(tl::enums::RpcError::Error(error).to_bytes());
            }
        }
        let own = self.send(
            session,
            Message {
                body: body.clone(),
                content: true,
                answer: true,
            },
        );
        if let Some(own) = own {
            self.center.sessions.keep(session, asked, own, body);
        }
    }

    /// Sends a message about messages.
    pub(super) fn service(&mut self, session: SessionId, body: Vec<u8>) {
        self.send(
            session,
            Message {
                body,
                content: false,
                answer: true,
            },
        );
    }

    /// Encrypts and packs a message; returns its identifier.
    pub(super) fn send(&mut self, session: SessionId, message: Message) -> Option<i64> {
        let time = self.center.message_time();
        let (id, sequence) = self.center.sessions.number(session, time, &message);
        self.seal(session, session.1, id, sequence, &message.body)?;
        Some(id)
    }

    /// Sends a message that names another session.
    pub(super) fn send_as(&mut self, session: SessionId, named: i64) {
        let pong = tl::types::Pong {
            msg_id: 0,
            ping_id: 0,
        };
        let id = self.center.message_time() | 1;
        self.seal(
            session,
            named,
            id,
            0,
            &tl::enums::Pong::Pong(pong).to_bytes(),
        );
    }

    pub(super) fn seal(
        &mut self,
        session: SessionId,
        named: i64,
        id: i64,
        sequence: i32,
        body: &[u8],
    ) -> Option<()> {
        let authorization = self.center.keys().get(session.0)?;
        let mut plain = Vec::with_capacity(body.len() + 64);
        plain.extend(authorization.salt.to_le_bytes());
        plain.extend(named.to_le_bytes());
        plain.extend(id.to_le_bytes());
        plain.extend(sequence.to_le_bytes());
        plain.extend((body.len() as u32).to_le_bytes());
        plain.extend(body);
        let packet = crypto::encrypt(
            &authorization.key,
            plain,
            Sender::Server,
            &mut self.randomness,
        );
        self.pack(&packet);
        Some(())
    }

    /// Sends a status of the transport.
    pub(super) fn status(&mut self, status: i32) {
        self.pack(&(-status).to_le_bytes());
    }

    pub(super) fn pack(&mut self, payload: &[u8]) {
        let Some(framing) = &mut self.framing else {
            return;
        };
        let start = self.out.len();
        if payload.len() == 4 && matches!(framing, Framing::Full { .. }) {
            // Full has no envelope for a status: it stands where a length would.
            self.out.extend(payload);
        } else {
            framing.pack(payload, &mut self.out, &mut self.randomness);
        }
        if let Some(obfuscation) = &mut self.obfuscation {
            obfuscation.hide(&mut self.out[start..]);
        }
    }
}
