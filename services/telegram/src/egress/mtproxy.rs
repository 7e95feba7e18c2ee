//! MTProxy: the client's packets in another envelope, hidden with the proxy's secret.
//!
//! The client speaks the transport Full to the bridge. An MTProxy wants an obfuscated connection that
//! names a data centre, and inside of it packets of the transport Intermediate, padded when the
//! secret begins with `dd`. What is in the packets stays sealed with the account's key.
//!
//! # Source
//! <https://core.telegram.org/mtproto/mtproto-transports>

use std::io;

use aes::Aes256;
use aes::cipher::{KeyIvInit, StreamCipher};
use ctr::Ctr128BE;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::domain::proxy::MtProxy;

/// Length of the block that opens an obfuscated connection.
const OPENING: usize = 64;

/// Longest packet, in bytes.
const LONGEST: usize = 1 << 24;

/// Bytes around the payload of a packet of Full: length, number, checksum.
const FULL: usize = 12;

/// First words that would be taken for another protocol: `HEAD`, `POST`, `GET `, `OPTI`, the tags of
/// plain transports, and the beginning of TLS.
const TAKEN: [[u8; 4]; 7] = [
    *b"HEAD",
    *b"POST",
    *b"GET ",
    *b"OPTI",
    [0xdd; 4],
    [0xee; 4],
    [0x16, 0x03, 0x01, 0x02],
];

type Cipher = Ctr128BE<Aes256>;

/// A connection to a proxy that was asked for a data centre.
pub(super) struct Tunnel {
    upstream: TcpStream,
    outgoing: Cipher,
    incoming: Cipher,
    padded: bool,
}

impl Tunnel {
    /// Connects to the proxy and asks for a data centre.
    pub(super) async fn open(proxy: &MtProxy, dc: i16) -> io::Result<Self> {
        let mut upstream = TcpStream::connect(&proxy.address).await?;
        upstream.set_nodelay(true)?;
        let (block, outgoing, incoming) = loop {
            let mut noise = [0; OPENING];
            fill(&mut noise)?;
            if let Some(opened) = opening(noise, proxy, dc) {
                break opened;
            }
        };
        upstream.write_all(&block).await?;
        Ok(Self {
            upstream,
            outgoing,
            incoming,
            padded: proxy.padded,
        })
    }

    /// Passes packets on until one side ends.
    pub(super) async fn relay(mut self, client: &mut TcpStream) -> io::Result<()> {
        let (from_client, to_client) = client.split();
        let (from_proxy, to_proxy) = self.upstream.split();
        tokio::select! {
            ended = go(from_client, to_proxy, self.outgoing, self.padded) => ended,
            ended = come(from_proxy, to_client, self.incoming) => ended,
        }
    }
}

/// Randomness that an onlooker cannot tell from the rest.
fn fill(bytes: &mut [u8]) -> io::Result<()> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| io::Error::other("there is no randomness"))
}

/// Makes the opening block of noise; `None` when the noise looks like something else.
fn opening(
    mut block: [u8; OPENING],
    proxy: &MtProxy,
    dc: i16,
) -> Option<([u8; OPENING], Cipher, Cipher)> {
    if block[0] == 0xef || block[4..8] == [0; 4] || TAKEN.iter().any(|it| block.starts_with(it)) {
        return None;
    }
    block[56..60].fill(if proxy.padded { 0xdd } else { 0xee });
    block[60..62].copy_from_slice(&dc.to_le_bytes());
    let mut reversed = block;
    reversed.reverse();
    let mut outgoing = cipher(&block, &proxy.secret)?;
    let incoming = cipher(&reversed, &proxy.secret)?;
    let mut hidden = block;
    outgoing.apply_keystream(&mut hidden);
    block[56..].copy_from_slice(&hidden[56..]);
    Some((block, outgoing, incoming))
}

fn cipher(block: &[u8; OPENING], secret: &[u8; 16]) -> Option<Cipher> {
    let key = Sha256::new()
        .chain_update(&block[8..40])
        .chain_update(secret)
        .finalize();
    Cipher::new_from_slices(&key, &block[40..56]).ok()
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// From the client to the proxy.
async fn go(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut cipher: Cipher,
    padded: bool,
) -> io::Result<()> {
    let mut packet = Vec::new();
    loop {
        let length = from.read_u32_le().await? as usize;
        if !(FULL + 4..=LONGEST).contains(&length) {
            return Err(broken("the client sent a packet of an impossible length"));
        }
        let mut number = [0; 4];
        from.read_exact(&mut number).await?;
        let payload = length - FULL;
        let mut padding = 0;
        if padded {
            let mut one = [0];
            fill(&mut one)?;
            padding = usize::from(one[0] & 15);
        }
        packet.clear();
        packet.extend(
            u32::try_from(payload + padding)
                .unwrap_or_default()
                .to_le_bytes(),
        );
        packet.resize(4 + payload + padding, 0);
        from.read_exact(&mut packet[4..4 + payload]).await?;
        fill(&mut packet[4 + payload..])?;
        // The checksum told of a way that never left this machine.
        from.read_u32_le().await?;
        cipher.apply_keystream(&mut packet);
        to.write_all(&packet).await?;
    }
}

/// From the proxy to the client.
async fn come(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut cipher: Cipher,
) -> io::Result<()> {
    let mut packet = Vec::new();
    for number in 0_u32.. {
        let mut length = [0; 4];
        from.read_exact(&mut length).await?;
        cipher.apply_keystream(&mut length);
        let length = u32::from_le_bytes(length) as usize;
        // Also when the secret is wrong: noise is seldom a length.
        if !(4..=LONGEST).contains(&length) {
            return Err(broken("the proxy sent a packet of an impossible length"));
        }
        packet.clear();
        packet.resize(8 + length, 0);
        from.read_exact(&mut packet[8..]).await?;
        cipher.apply_keystream(&mut packet[8..]);
        let Some(payload) = payload(&packet[8..]) else {
            // Full has no envelope for a status: it stands where a length would.
            to.write_all(&packet[8..12]).await?;
            continue;
        };
        packet.truncate(8 + payload);
        let whole = u32::try_from(payload + FULL).unwrap_or_default();
        packet[..4].copy_from_slice(&whole.to_le_bytes());
        packet[4..8].copy_from_slice(&number.to_le_bytes());
        let checksum = crc32fast::hash(&packet);
        packet.extend(checksum.to_le_bytes());
        to.write_all(&packet).await?;
    }
    Ok(())
}

/// Length of a packet without its padding; `None` for a status.
fn payload(packet: &[u8]) -> Option<usize> {
    if packet.len() < 20 {
        return None;
    }
    let length = if packet[..8] == [0; 8] {
        // Of the handshake: identifiers of key and message, length, body.
        let body = u32::from_le_bytes([packet[16], packet[17], packet[18], packet[19]]);
        20 + body as usize
    } else {
        // Identifier of the key, key of the message, blocks of the cipher.
        24 + packet.len().saturating_sub(24) / 16 * 16
    };
    Some(length.min(packet.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(padded: bool) -> MtProxy {
        MtProxy {
            address: "127.0.0.1:1".into(),
            secret: [9; 16],
            padded,
        }
    }

    #[test]
    fn padding_is_taken_off_and_a_status_is_none() {
        for padding in 0..16 {
            let mut sealed = vec![1; 24 + 16 * 3 + padding];
            assert_eq!(payload(&sealed), Some(24 + 16 * 3), "{padding}");
            sealed[..8].fill(0);
            sealed[16..20].copy_from_slice(&44_u32.to_le_bytes());
            assert_eq!(payload(&sealed), Some(64), "{padding}");
        }
        assert_eq!(payload(&(-404_i32).to_le_bytes()), None);
        assert_eq!(payload(&[0; 19]), None, "a status with padding");
        let lie: Vec<u8> = [[0; 16].as_slice(), &[0xff; 4]].concat();
        assert_eq!(payload(&lie), Some(20), "no longer than it is");
    }

    #[test]
    fn noise_that_looks_like_another_protocol_is_not_sent() {
        let looks = |head: &[u8]| {
            let mut noise = [7; OPENING];
            noise[..head.len()].copy_from_slice(head);
            opening(noise, &proxy(true), 2).is_some()
        };
        assert!(looks(&[7; 8]));
        for head in [
            &[0xef][..],
            b"GET ",
            b"POST",
            &[0xdd; 4],
            &[0xee; 4],
            &[0x16, 3, 1, 2],
            &[7, 7, 7, 7, 0, 0, 0, 0],
        ] {
            assert!(!looks(head), "{head:?}");
        }
    }

    #[tokio::test]
    async fn packets_come_out_as_they_went_in() {
        // What `go` hides with a cipher, `come` clears with the same one.
        for padded in [false, true] {
            let cipher = || opening([7; OPENING], &proxy(padded), 2).unwrap().1;
            let packets: Vec<Vec<u8>> = (0..40).map(|at| vec![at + 1; 24 + 16 * 5]).collect();
            let mut full = Vec::new();
            for (number, packet) in (0_u32..).zip(&packets) {
                let start = full.len();
                full.extend((packet.len() as u32 + 12).to_le_bytes());
                full.extend(number.to_le_bytes());
                full.extend(packet);
                let checksum = crc32fast::hash(&full[start..]);
                full.extend(checksum.to_le_bytes());
            }
            let mut hidden = Vec::new();
            let ended = go(&full[..], &mut hidden, cipher(), padded).await;
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert!(!hidden.windows(8).any(|part| part == [1; 8]));
            let mut clear = Vec::new();
            let ended = come(&hidden[..], &mut clear, cipher()).await;
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert!(clear == full, "padded: {padded}");
        }
    }
}
