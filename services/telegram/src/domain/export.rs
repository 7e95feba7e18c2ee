//! The export files, byte for byte as their readers expect them.

use std::fmt::{self, Write};

use chrono::{DateTime, Utc};
use touchstone_api::telegram::Post;

/// What every export's name begins with.
const PREFIX: &str = "telegram_posts_";

/// Name of an export that was made at `at`, without an ending.
pub fn stem(channel: &str, at: DateTime<Utc>) -> String {
    format!("{PREFIX}{}_{}", safe(channel), at.format("%Y%m%d_%H%M%S"))
}

/// Whether a file's name is that of an export; nothing else is ever read.
pub fn is_ours(name: &str) -> bool {
    let stem = name.strip_prefix(PREFIX).and_then(|rest| {
        rest.strip_suffix(".json")
            .or_else(|| rest.strip_suffix(".txt"))
    });
    stem.is_some_and(|stem| {
        (1..=120).contains(&stem.len())
            && stem
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    })
}

/// A channel's name as part of a file name.
fn safe(channel: &str) -> String {
    let kept = channel.chars().take(64).map(|letter| match letter {
        letter if letter.is_ascii_alphanumeric() || letter == '-' => letter,
        _ => '_',
    });
    let name: String = kept.collect();
    if name.is_empty() { "_".into() } else { name }
}

/// A text export, piece by piece, so that a million posts need no more memory than one.
#[derive(Debug, Clone, Copy)]
pub struct Text;

impl Text {
    /// What stands before the posts.
    pub fn head(channel: &str, at: DateTime<Utc>, total: usize) -> String {
        format!(
            "Парсинг выполнен: {}\nКанал: {channel}\nВсего постов: {total}\n{}\n",
            at.format("%Y-%m-%d %H:%M:%S"),
            "=".repeat(50),
        )
    }

    /// Appends a post.
    pub fn post(post: &Post, out: &mut String) {
        // Writing into a string cannot fail.
        let _ = write!(
            out,
            "\nID: {}\nДата: {}\nКанал: {}\nПросмотры: {}\nТекст: {}\n{}\n",
            post.message_id,
            post.date,
            post.channel_title,
            post.views.unwrap_or_default(),
            post.text,
            "-".repeat(30),
        );
    }
}

/// A JSON export, piece by piece: two spaces of indentation, letters as they are.
#[derive(Debug, Clone, Copy)]
pub struct Json;

impl Json {
    /// What stands before the posts.
    pub fn head(channel: &str, at: DateTime<Utc>, total: usize) -> String {
        format!(
            "{{\n  \"parsed_at\": \"{}\",\n  \"channel\": \"{}\",\n  \"total_posts\": {total},\n  \"posts\": [",
            at.format("%Y-%m-%dT%H:%M:%S+00:00"),
            Escaped(channel),
        )
    }

    /// Appends a post; `first` is whether it is the first one.
    pub fn post(post: &Post, first: bool, out: &mut String) {
        out.push_str(if first { "\n    {" } else { ",\n    {" });
        let mut field = Field { out, first: true };
        field.raw("message_id", post.message_id);
        field.raw("channel_id", post.channel_id);
        field.text("channel_title", Some(&post.channel_title));
        field.text("channel_username", post.channel_username.as_deref());
        field.text("text", Some(&post.text));
        field.text("date", Some(&post.date));
        field.raw("sender_id", post.sender_id);
        field.number("views", post.views);
        field.number("forwards", post.forwards);
        field.number("reply_to_msg_id", post.reply_to_msg_id);
        field.text("media_type", post.media_type.as_deref());
        field.text("media_url", post.media_url.as_deref());
        field.text("sync_type", Some(sync_type(post)));
        out.push_str("\n    }");
    }

    /// What stands after the posts; `empty` is whether there were none.
    pub fn tail(empty: bool) -> &'static str {
        if empty { "]\n}\n" } else { "\n  ]\n}\n" }
    }
}

fn sync_type(post: &Post) -> &'static str {
    use touchstone_api::telegram::SyncType;
    match post.sync_type {
        SyncType::Realtime => "realtime",
        SyncType::Backfill => "backfill",
        SyncType::Update => "update",
    }
}

struct Field<'a> {
    out: &'a mut String,
    first: bool,
}

impl Field<'_> {
    fn raw(&mut self, name: &str, value: impl fmt::Display) {
        let comma = if self.first { "" } else { "," };
        self.first = false;
        let _ = write!(self.out, "{comma}\n      \"{name}\": {value}");
    }

    fn number(&mut self, name: &str, value: Option<i32>) {
        match value {
            Some(value) => self.raw(name, value),
            None => self.raw(name, "null"),
        }
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.raw(name, format_args!("\"{}\"", Escaped(value))),
            None => self.raw(name, "null"),
        }
    }
}

/// Text inside of a JSON string: only what must be escaped is.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
        let mut rest = self.0;
        while let Some(at) = rest.bytes().position(special) {
            let (plain, tail) = rest.split_at(at);
            // What must be escaped is one byte long.
            let (letter, tail) = tail.split_at(1);
            out.write_str(plain)?;
            match letter {
                "\"" => out.write_str("\\\"")?,
                "\\" => out.write_str("\\\\")?,
                "\n" => out.write_str("\\n")?,
                "\r" => out.write_str("\\r")?,
                "\t" => out.write_str("\\t")?,
                _ => write!(out, "\\u{:04x}", letter.as_bytes()[0])?,
            }
            rest = tail;
        }
        out.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use touchstone_api::telegram::SyncType;

    use super::*;

    fn at() -> DateTime<Utc> {
        "2026-01-31T20:05:13Z".parse().unwrap()
    }

    fn post() -> Post {
        Post {
            message_id: 468,
            channel_id: 1_006_503_122,
            channel_title: "Pavel Durov".into(),
            channel_username: None,
            text: "This year, I wish you less...".into(),
            date: "2026-01-07T09:55:48+00:00".into(),
            sender_id: -1_001_006_503_122,
            views: Some(2_365_549),
            forwards: Some(23_628),
            reply_to_msg_id: None,
            media_type: None,
            media_url: None,
            sync_type: SyncType::Realtime,
        }
    }

    #[test]
    fn the_text_is_byte_for_byte_what_its_readers_know() {
        let mut text = Text::head("durov", at(), 3);
        Text::post(&post(), &mut text);
        let expected = "Парсинг выполнен: 2026-01-31 20:05:13\nКанал: durov\nВсего постов: 3\n\
            ==================================================\n\n\
            ID: 468\nДата: 2026-01-07T09:55:48+00:00\nКанал: Pavel Durov\nПросмотры: 2365549\n\
            Текст: This year, I wish you less...\n------------------------------\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_json_is_what_a_serialiser_writes() {
        let mut second = post();
        second.text = "Кавычки \"и\" \\ перевод\nстроки\u{1}\t🙂".into();
        second.media_url = Some("/media/1/2".into());
        for posts in [vec![], vec![post()], vec![post(), second]] {
            let mut json = Json::head("durov \"x\"", at(), posts.len());
            for (number, post) in posts.iter().enumerate() {
                Json::post(post, number == 0, &mut json);
            }
            json.push_str(Json::tail(posts.is_empty()));
            let fields = serde_json::json!({
                "parsed_at": "2026-01-31T20:05:13+00:00",
                "channel": "durov \"x\"",
                "total_posts": posts.len(),
                "posts": posts,
            });
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&json).unwrap(),
                fields
            );
            // The order of the fields is part of the format.
            if let Some(first) = posts.first() {
                let alone = serde_json::to_string_pretty(first).unwrap();
                let indented = alone.replace('\n', "\n    ");
                assert!(json.contains(&indented), "{json}\n{indented}");
            }
        }
    }

    #[test]
    fn only_our_own_names_are_ours() {
        let plain = stem("durov", at());
        assert_eq!(plain, "telegram_posts_durov_20260131_200513");
        for stem in [plain, stem("../x y/ы", at())] {
            for ending in ["json", "txt"] {
                assert!(is_ours(&format!("{stem}.{ending}")), "{stem}");
            }
        }
        for name in [
            "",
            "..",
            "telegram_posts_",
            "telegram_posts_.json",
            "/telegram_posts_a.json",
            "telegram_posts_../a.json",
            "telegram_posts_a\0.json",
            "telegram_posts_a.json.tmp",
            "telegram_posts_%2e%2e.json",
            "telegram_posts_a.exe",
        ] {
            assert!(!is_ours(name), "{name:?}");
        }
    }
}
