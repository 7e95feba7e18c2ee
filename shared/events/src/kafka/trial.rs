//! A first look at a Kafka cluster.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use touchstone_lifecycle::trial::{self, Mistake};

use super::KafkaOptions;

/// Any number: the answer must repeat it.
const CORRELATION: i32 = 0x746f_7563;

/// Asks one broker after the other which versions it speaks, which needs no login; one that answers
/// is enough.
///
/// # Errors
/// [`Mistake`] of the last broker, or the worst of all if none is only away.
pub(crate) async fn trial(options: &KafkaOptions) -> Result<(), Mistake> {
    let mut trouble = None;
    for place in options.brokers.split(',') {
        match ask(place).await {
            Ok(()) => return Ok(()),
            Err(mistake @ Mistake::Away(_)) => trouble = Some(mistake),
            Err(mistake) => trouble = trouble.or(Some(mistake)),
        }
    }
    trouble.map_or(Ok(()), Err)
}

async fn ask(place: &str) -> Result<(), Mistake> {
    let mut stream = trial::reach(place).await?;
    let question = async {
        stream.write_all(&question()).await?;
        let mut head = [0; 8];
        stream.read_exact(&mut head).await?;
        std::io::Result::Ok(head)
    };
    let answered = tokio::time::timeout(trial::PATIENCE, question).await;
    let answered = answered.map_err(|_| Mistake::silent(place))?;
    match answered {
        Ok(head) if head[4..] == CORRELATION.to_be_bytes() => Ok(()),
        Ok(_) | Err(_) => Err(Mistake::garbled(
            place,
            "Kafka",
            "is it another server, or a listener with TLS or SASL, which this does not speak?",
        )),
    }
}

/// `ApiVersions`, version 0, from a client without a name.
fn question() -> Vec<u8> {
    const API_VERSIONS: i16 = 18;
    /// Kind, version, correlation, and the length of a client id that is not there.
    const LENGTH: i32 = 2 + 2 + 4 + 2;
    let mut request = Vec::new();
    request.extend(LENGTH.to_be_bytes());
    request.extend(API_VERSIONS.to_be_bytes());
    request.extend(0_i16.to_be_bytes());
    request.extend(CORRELATION.to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request
}
