//! One connection of a client: bytes to packets to messages and back.

mod messages;
mod outgoing;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use grammers_tl_types::{self as tl, Deserializable, Identifiable, Serializable};
use rand_chacha::ChaCha20Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::time::Instant;

use self::messages::{Header, constructor, contained, read};
use crate::center::{Center, Proxied};
use crate::faults::{Fault, Point};
use crate::handshake::{Handshake, Step};
use crate::objects::DC;
use crate::rpc::{self, Call, Refusal};
use crate::session::{Message, Outgoing, Receipt, SessionId};
use crate::wire::crypto::{self, Sender};
use crate::wire::framing::{self, Framing, Opening};
use crate::wire::obfuscation::{OPENING, Obfuscation, Opened};

/// Largest content of a compressed message.
const INFLATED: u64 = 16 << 20;

const CONTAINER: u32 = 0x73f1_f8dc;
const GZIPPED: u32 = 0x3072_cfa1;

/// Why a connection ends.
enum End {
    /// The client left, or what it sent is no MTProto.
    Closed,
    /// Our side resets it.
    Reset,
    /// Our side goes silent and keeps it open.
    Silent,
}

/// Serves a client until it leaves.
pub(crate) async fn serve(center: Arc<Center>, stream: TcpStream, dc: i32, number: u64) {
    let (way, inbox) = mpsc::unbounded_channel();
    let randomness = center.randomness();
    let connection = Connection {
        center: Arc::clone(&center),
        dc,
        number,
        way,
        framing: None,
        obfuscation: None,
        handshake: Handshake::default(),
        randomness,
        out: Vec::new(),
        late: Vec::new(),
    };
    connection.run(stream, inbox).await;
    center.sessions.detach(number);
}

struct Connection {
    center: Arc<Center>,
    /// The data centre that the client talks to.
    dc: i32,
    number: u64,
    way: UnboundedSender<Outgoing>,
    framing: Option<Framing>,
    obfuscation: Option<Obfuscation>,
    handshake: Handshake,
    randomness: ChaCha20Rng,
    /// Bytes to write.
    out: Vec<u8>,
    /// Calls that a fault lets wait, and until when.
    late: Vec<(Instant, SessionId, i64, Vec<u8>)>,
}

impl Connection {
    async fn run(mut self, mut stream: TcpStream, mut inbox: mpsc::UnboundedReceiver<Outgoing>) {
        let mut buffer = Vec::with_capacity(16 << 10);
        let mut piece = vec![0; 64 << 10];
        let end = loop {
            tokio::select! {
                read = stream.read(&mut piece) => match read {
                    Ok(count) if count > 0 => {
                        let start = buffer.len();
                        buffer.extend_from_slice(&piece[..count]);
                        if let Some(obfuscation) = &mut self.obfuscation {
                            obfuscation.clear(&mut buffer[start..]);
                        }
                        if let Err(end) = self.take(&mut buffer) {
                            break end;
                        }
                    }
                    _ => break End::Closed,
                },
                Some(outgoing) = inbox.recv() => {
                    self.send(outgoing.session, outgoing.message);
                }
                () = tokio::time::sleep_until(self.next_late()), if !self.late.is_empty() => {
                    self.late_calls();
                }
            }
            if !self.flush(&mut stream).await {
                break End::Closed;
            }
        };
        match end {
            End::Closed => {
                let _ = self.flush(&mut stream).await;
            }
            // Closing with unread or unsent data and no linger is a reset.
            End::Reset => drop(stream.set_zero_linger()),
            End::Silent => {
                self.center.sessions.detach(self.number);
                // Until the client gives up.
                while stream.read(&mut piece).await.is_ok_and(|count| count > 0) {}
            }
        }
    }

    async fn flush(&mut self, stream: &mut TcpStream) -> bool {
        let bytes = std::mem::take(&mut self.out);
        bytes.is_empty() || stream.write_all(&bytes).await.is_ok()
    }

    /// Takes all whole packets off the buffer.
    fn take(&mut self, buffer: &mut Vec<u8>) -> Result<(), End> {
        if self.framing.is_none() && !self.open(buffer)? {
            return Ok(());
        }
        let mut start = 0;
        while let Some(framing) = &mut self.framing {
            let unpacked = framing.unpack(&buffer[start..]).map_err(|error| {
                tracing::debug!(%error, "a client sent a broken packet");
                End::Closed
            })?;
            let Some((range, used)) = unpacked else { break };
            let packet = buffer[start + range.start..start + range.end].to_vec();
            start += used;
            self.packet(&packet)?;
        }
        buffer.drain(..start);
        Ok(())
    }

    /// Finds out the transport; false while there are too few bytes.
    fn open(&mut self, buffer: &mut Vec<u8>) -> Result<bool, End> {
        match framing::opening(buffer) {
            Opening::Unknown => Ok(false),
            Opening::Plain(framing, used) => {
                self.framing = Some(framing);
                buffer.drain(..used);
                Ok(true)
            }
            Opening::Obfuscated => {
                let Some(block) = buffer.first_chunk::<OPENING>() else {
                    return Ok(false);
                };
                let secret = self.center.proxy_secret();
                let opened = match (Obfuscation::open(block, None), secret) {
                    (Some(opened), _) => opened,
                    (None, Some(secret)) => {
                        let opened = Obfuscation::open(block, Some(&secret)).ok_or(End::Closed)?;
                        self.forward(&opened)?;
                        opened
                    }
                    (None, None) => return Err(End::Closed),
                };
                tracing::debug!(dc = opened.dc, "an obfuscated connection");
                let mut obfuscation = opened.obfuscation;
                buffer.drain(..OPENING);
                obfuscation.clear(buffer);
                self.framing = Some(opened.framing);
                self.obfuscation = Some(obfuscation);
                Ok(true)
            }
        }
    }

    /// The part of the proxy: the client goes to the data centre that it named.
    fn forward(&mut self, opened: &Opened) -> Result<(), End> {
        self.center.came_through_proxy(Proxied {
            data_centre: opened.dc,
            padded: opened.framing == Framing::Padded,
        });
        // Negative numbers are those for media.
        let dc = i32::from(opened.dc.unsigned_abs());
        self.center.place(dc).ok_or(End::Closed)?;
        self.dc = dc;
        Ok(())
    }

    fn packet(&mut self, packet: &[u8]) -> Result<(), End> {
        let (id, sealed) = packet.split_first_chunk::<8>().ok_or(End::Closed)?;
        let key = i64::from_le_bytes(*id);
        if key == 0 {
            return self.plain(sealed);
        }
        let known = self.center.keys().get(key);
        let Some(authorization) = known.filter(|known| known.dc == self.dc) else {
            self.status(404);
            return Ok(());
        };
        let plain =
            crypto::decrypt(&authorization.key, sealed, Sender::Client).ok_or(End::Closed)?;
        let header = Header::read(&plain).ok_or(End::Closed)?;
        let body = &plain[32..32 + header.length];
        let session = (key, header.session);
        let new = self.center.sessions.attach(session, self.number, &self.way);
        if header.salt != authorization.salt {
            let answer = tl::types::BadServerSalt {
                bad_msg_id: header.message,
                bad_msg_seqno: header.sequence,
                error_code: 48,
                new_server_salt: authorization.salt,
            };
            self.service(
                session,
                tl::enums::BadMsgNotification::BadServerSalt(answer).to_bytes(),
            );
            return Ok(());
        }
        if new {
            let created = tl::types::NewSessionCreated {
                first_msg_id: header.message,
                unique_id: header.session ^ key,
                server_salt: authorization.salt,
            };
            self.send(
                session,
                Message {
                    body: tl::enums::NewSession::Created(created).to_bytes(),
                    content: true,
                    answer: false,
                },
            );
        }
        self.message(session, header.message, body)
    }

    /// A message of the handshake.
    fn plain(&mut self, sealed: &[u8]) -> Result<(), End> {
        let length = sealed.get(8..12).ok_or(End::Closed)?;
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let body = sealed.get(12..12 + length).ok_or(End::Closed)?;
        let center = Arc::clone(&self.center);
        let taken = self.handshake.take(
            body,
            center.server_key(),
            center.now(),
            &mut self.randomness,
        );
        let answer = match taken {
            Ok(Step::Answer(answer)) => answer,
            Ok(Step::Done { answer, key, salt }) => {
                center.keys().add(self.dc, *key, None, salt);
                answer
            }
            Err(error) => {
                tracing::debug!(%error, "a handshake failed");
                self.status(404);
                return Ok(());
            }
        };
        let mut packet = vec![0; 8];
        packet.extend((center.message_time() | 1).to_le_bytes());
        packet.extend((answer.len() as u32).to_le_bytes());
        packet.extend(answer);
        self.pack(&packet);
        Ok(())
    }

    /// A message inside of a session, or of a container there.
    fn message(&mut self, session: SessionId, id: i64, body: &[u8]) -> Result<(), End> {
        let constructor = constructor(body).ok_or(End::Closed)?;
        let rest = &body[4..];
        match constructor {
            CONTAINER => {
                for (id, body) in contained(rest).ok_or(End::Closed)? {
                    self.message(session, id, body)?;
                }
            }
            GZIPPED => {
                let packed = Vec::<u8>::from_bytes(rest).map_err(|_| End::Closed)?;
                let mut clear = Vec::new();
                GzDecoder::new(&packed[..])
                    .take(INFLATED)
                    .read_to_end(&mut clear)
                    .map_err(|_| End::Closed)?;
                self.message(session, id, &clear)?;
            }
            _ if self.service_message(session, id, constructor, rest)? => {}
            _ => self.request(session, id, body)?,
        }
        Ok(())
    }

    /// Messages about messages; false for everything else.
    fn service_message(
        &mut self,
        session: SessionId,
        id: i64,
        constructor: u32,
        rest: &[u8],
    ) -> Result<bool, End> {
        use tl::{enums, functions, types};
        match constructor {
            types::MsgsAck::CONSTRUCTOR_ID => {
                let ack: types::MsgsAck = read(rest)?;
                self.center.sessions.acknowledge(session, &ack.msg_ids);
            }
            functions::Ping::CONSTRUCTOR_ID => {
                let ping: functions::Ping = read(rest)?;
                self.pong(session, id, ping.ping_id);
            }
            functions::PingDelayDisconnect::CONSTRUCTOR_ID => {
                let ping: functions::PingDelayDisconnect = read(rest)?;
                self.pong(session, id, ping.ping_id);
            }
            functions::GetFutureSalts::CONSTRUCTOR_ID => {
                let wanted: functions::GetFutureSalts = read(rest)?;
                self.future_salts(session, id, wanted.num);
            }
            functions::DestroySession::CONSTRUCTOR_ID => {
                let wanted: functions::DestroySession = read(rest)?;
                let session_id = wanted.session_id;
                let gone = self.center.sessions.destroy((session.0, session_id));
                let answer: enums::DestroySessionRes = if gone {
                    types::DestroySessionOk { session_id }.into()
                } else {
                    types::DestroySessionNone { session_id }.into()
                };
                self.service(session, answer.to_bytes());
            }
            types::MsgsStateReq::CONSTRUCTOR_ID => {
                let wanted: types::MsgsStateReq = read(rest)?;
                let info = types::MsgsStateInfo {
                    req_msg_id: id,
                    // 4: received.
                    info: vec![4; wanted.msg_ids.len()],
                };
                self.service(session, enums::MsgsStateInfo::Info(info).to_bytes());
            }
            types::MsgResendReq::CONSTRUCTOR_ID => {
                let wanted: types::MsgResendReq = read(rest)?;
                for own in wanted.msg_ids {
                    if let Some(body) = self.center.sessions.kept(session, own) {
                        self.service(session, body);
                    }
                }
            }
            types::HttpWait::CONSTRUCTOR_ID | types::MsgsStateInfo::CONSTRUCTOR_ID => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn pong(&mut self, session: SessionId, msg_id: i64, ping_id: i64) {
        let pong = tl::types::Pong { msg_id, ping_id };
        self.service(session, tl::enums::Pong::Pong(pong).to_bytes());
    }

    fn future_salts(&mut self, session: SessionId, asked: i64, count: i32) {
        let now = self.center.now();
        let salt = self.center.keys().get(session.0).map_or(0, |key| key.salt);
        // One salt for a long time: rotation is a fault that is asked for.
        let salts = (0..count.clamp(1, 64)).map(|number| tl::types::FutureSalt {
            valid_since: now + number * 1_800,
            valid_until: now + (number + 2) * 1_800,
            salt,
        });
        // The list is bare in the schema, and so are its items.
        let mut body = tl::types::FutureSalts::CONSTRUCTOR_ID
            .to_le_bytes()
            .to_vec();
        body.extend(asked.to_le_bytes());
        body.extend(now.to_le_bytes());
        body.extend(count.clamp(1, 64).to_le_bytes());
        for salt in salts {
            body.extend(salt.to_bytes());
        }
        self.service(session, body);
    }

    /// A call of a method.
    fn request(&mut self, session: SessionId, id: i64, body: &[u8]) -> Result<(), End> {
        match self.center.sessions.receive(session, id) {
            Receipt::New => {}
            Receipt::Repeated(answer) => {
                if let Some(answer) = answer {
                    self.service(session, answer);
                }
                return Ok(());
            }
        }
        let name = rpc::unwrap(body).map_or("", |request| request.name);
        match self.center.faults.strike(Point::Call, Some(name)) {
            Some(Fault::Reset) => return Err(End::Reset),
            Some(Fault::HalfOpen) => return Err(End::Silent),
            Some(Fault::Transport { status }) => {
                self.status(status);
                return Err(End::Closed);
            }
            Some(Fault::Delay { ms }) => {
                // The connection goes on meanwhile.
                let due = Instant::now() + Duration::from_millis(ms);
                self.late.push((due, session, id, body.to_vec()));
                return Ok(());
            }
            fault => self.call(session, id, body, fault),
        }
        Ok(())
    }

    fn next_late(&self) -> Instant {
        let times = self.late.iter().map(|(due, ..)| *due);
        times.min().unwrap_or_else(Instant::now)
    }

    /// Answers the calls that have waited long enough.
    fn late_calls(&mut self) {
        let now = Instant::now();
        for (due, session, id, body) in std::mem::take(&mut self.late) {
            if due <= now {
                self.call(session, id, &body, None);
            } else {
                self.late.push((due, session, id, body));
            }
        }
    }

    /// Answers a call of a method.
    fn call(&mut self, session: SessionId, id: i64, body: &[u8], fault: Option<Fault>) {
        let center = Arc::clone(&self.center);
        let outcome = match rpc::unwrap(body) {
            Ok(request) => {
                let call = Call {
                    dc: self.dc,
                    key: session.0,
                    user: center.keys().get(session.0).and_then(|key| key.user),
                    layer: center.sessions.layer(session, request.layer),
                };
                // Other data centres than the home tell of no updates.
                if let (true, Some(user)) = (request.updates && self.dc == DC, call.user) {
                    center.sessions.wants_updates(session, user);
                }
                let outcome = self.answer(session, call, &request, fault);
                let method = match request.name {
                    "" => format!("{:08x}", request.id),
                    name => name.to_owned(),
                };
                let said = outcome
                    .as_ref()
                    .map_or_else(|no| no.message.clone(), |_| "ok".into());
                center.log(self.dc, method, said);
                outcome
            }
            Err(refusal) => Err(refusal),
        };
        self.result(session, id, outcome);
    }

    /// What answers a call, unless a fault has other plans.
    fn answer(
        &mut self,
        session: SessionId,
        call: Call,
        request: &rpc::Request<'_>,
        fault: Option<Fault>,
    ) -> Result<Vec<u8>, Refusal> {
        let center = Arc::clone(&self.center);
        match fault {
            Some(Fault::Flood { seconds }) => {
                return Err(Refusal::new(420, format!("FLOOD_WAIT_{seconds}")));
            }
            Some(Fault::Error { code, message }) => return Err(Refusal::new(code, message)),
            Some(Fault::DuplicateKey) => return Err(Refusal::new(406, "AUTH_KEY_DUPLICATED")),
            Some(Fault::SaltRotation) => center.keys().rotate_salts(),
            Some(Fault::FileReferences) => center.expire_files(),
            Some(Fault::ClockSkew { seconds }) => center.set_skew(seconds),
            Some(Fault::WrongSession) => self.send_as(session, session.1 ^ 1),
            // The others strike the connection, or when updates are sent.
            _ => {}
        }
        if let Some(user) = call.user
            && let Some(wait) = center.faults.limited(user, request.name, center.uptime())
        {
            return Err(Refusal::new(420, format!("FLOOD_WAIT_{wait}")));
        }
        rpc::answer(&center, call, request)
    }
}
