//! The statements.

pub(super) const MEET: &str = "INSERT INTO channels (id, access_hash, title, username, pts, top)
    VALUES (?, ?, ?, ?, 0, 0) ON CONFLICT (id) DO UPDATE SET
    access_hash = excluded.access_hash, title = excluded.title, username = excluded.username";
pub(super) const CHANNEL: &str =
    "SELECT id, access_hash, title, username, pts, top FROM channels WHERE id = ?";
pub(super) const SET_STATE: &str = "UPDATE channels SET pts = ?, top = ? WHERE id = ?";
pub(super) const DISTRUST: &str = "UPDATE channels SET pts = 0 WHERE id = ?";
pub(super) const UNCOVER: &str = "DELETE FROM coverage WHERE channel_id = ?";
pub(super) const FOLLOW: &str =
    "INSERT INTO followers (channel_id, tenant_id, created_at) VALUES (?, ?, ?)
    ON CONFLICT DO NOTHING";
pub(super) const UNFOLLOW: &str = "DELETE FROM followers WHERE channel_id = ? AND tenant_id = ?";
pub(super) const FOLLOWERS: &str =
    "SELECT tenant_id FROM followers WHERE channel_id = ? ORDER BY tenant_id";
pub(super) const FOLLOWED: &str = "SELECT id, access_hash, title, username, pts, top FROM channels
    WHERE id IN (SELECT channel_id FROM followers) ORDER BY id";
pub(super) const ROWS: &str =
    "SELECT id, kind, revision, grouped_id, reply_to, edited_at, body, hash FROM messages
    WHERE channel_id = ? AND id BETWEEN ? AND ? ORDER BY id";
pub(super) const ALBUM: &str =
    "SELECT id, kind, revision, grouped_id, reply_to, edited_at, body, hash FROM messages
    WHERE channel_id = ? AND grouped_id = ? ORDER BY id";
pub(super) const ANSWERED: &str =
    "SELECT id, kind, revision, grouped_id, reply_to, edited_at, body, hash
    FROM messages WHERE channel_id = ? AND reply_to BETWEEN ? AND ? ORDER BY reply_to, id LIMIT ?";
pub(super) const PUT_ROWS: &str = "INSERT OR REPLACE INTO messages
    (channel_id, id, kind, revision, grouped_id, edited_at, body, hash, reply_to) ";
pub(super) const PUT_REVISIONS: &str = "INSERT OR REPLACE INTO revisions
    (channel_id, id, revision, body, replaced_at) ";
pub(super) const COVERAGE: &str =
    "SELECT low, high FROM coverage WHERE channel_id = ? ORDER BY low";
pub(super) const REMOVE_INTERVAL: &str = "DELETE FROM coverage WHERE channel_id = ? AND low = ?";
pub(super) const ADD_INTERVAL: &str =
    "INSERT INTO coverage (channel_id, low, high) VALUES (?, ?, ?)";
pub(super) const HASHES: &str = "SELECT id, revision, hash FROM messages
    WHERE channel_id = ? AND id BETWEEN ? AND ? ORDER BY id";
pub(super) const BLOCKS: &str =
    "SELECT block, digest FROM blocks WHERE channel_id = ? ORDER BY block";
pub(super) const PUT_BLOCK: &str =
    "INSERT OR REPLACE INTO blocks (channel_id, block, digest) VALUES (?, ?, ?)";
pub(super) const DOCUMENTS: &str = "SELECT message_id, digest FROM documents
    WHERE channel_id = ? AND tenant_id = ? AND message_id BETWEEN ? AND ? ORDER BY message_id";
pub(super) const SWALLOW: &str =
    "DELETE FROM wanted WHERE channel_id = ? AND tenant_id = ? AND low >= ? AND high <= ?";
pub(super) const WANT: &str = "INSERT INTO wanted (channel_id, tenant_id, low, high, untold)
    VALUES (?1, ?2, ?3, ?4, ?4)";
pub(super) const WANTED: &str = "SELECT channel_id, tenant_id, low, high, untold FROM wanted
    WHERE untold >= low ORDER BY untold - low LIMIT 1";
pub(super) const SET_UNTOLD: &str = "UPDATE wanted SET untold = ?
    WHERE channel_id = ? AND tenant_id = ? AND low = ? AND high = ?";
pub(super) const UNTOLD: &str =
    "SELECT coalesce(sum(untold - low + 1), 0) FROM wanted WHERE untold >= low";
pub(super) const FORGET_FOLLOWERS: &str = "DELETE FROM wanted WHERE (channel_id, tenant_id) IN (SELECT channel_id, tenant_id FROM followers)";
pub(super) const WANT_ALL: &str = "INSERT INTO wanted (channel_id, tenant_id, low, high, untold)
    SELECT followers.channel_id, followers.tenant_id, 1, channels.top, channels.top
    FROM followers JOIN channels ON channels.id = followers.channel_id WHERE channels.top > 0";
pub(super) const TELL_AGAIN: &str = "UPDATE wanted SET untold = high";
pub(super) const MAPPED: &str = "SELECT document_id, digest FROM documents
    WHERE channel_id = ? AND message_id = ? AND tenant_id = ?";
pub(super) const MAP: &str = "INSERT OR REPLACE INTO documents
    (channel_id, message_id, tenant_id, document_id, digest) VALUES (?, ?, ?, ?, ?)";
pub(super) const UNMAP: &str =
    "DELETE FROM documents WHERE channel_id = ? AND message_id = ? AND tenant_id = ?";
pub(super) const HOLD: &str = "INSERT INTO leases (account, holder, until) VALUES (?1, ?2, ?3)
    ON CONFLICT (account) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE leases.holder = excluded.holder OR leases.until <= ?4";
pub(super) const KEEP_KEY: &str =
    "INSERT OR REPLACE INTO keys (account, data_centre, sealed) VALUES (?, ?, ?)";
pub(super) const KEYS: &str =
    "SELECT data_centre, sealed FROM keys WHERE account = ? ORDER BY data_centre";
pub(super) const RELEASE: &str = "DELETE FROM leases WHERE account = ? AND holder = ?";
