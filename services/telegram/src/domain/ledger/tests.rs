use proptest::prelude::*;
use touchstone_api::telegram::SyncType;

use super::*;

fn post(id: i32, text: &str) -> Post {
    Post {
        message_id: id,
        channel_id: 77,
        channel_title: "News".into(),
        channel_username: Some("news".into()),
        text: text.into(),
        date: "2026-01-07T09:55:48+00:00".into(),
        sender_id: -1_000_000_000_077,
        views: Some(1),
        forwards: Some(0),
        reply_to_msg_id: None,
        media_type: None,
        media_url: None,
        sync_type: SyncType::Backfill,
    }
}

fn row(id: i32, text: &str) -> Row {
    Row::post(post(id, text), None, None)
}

fn in_album(id: i32, text: &str) -> Row {
    Row::post(post(id, text), Some(5), None)
}

fn rows(list: impl IntoIterator<Item = Row>) -> Rows {
    list.into_iter().map(|row| (row.id, row)).collect()
}

/// The rows after a plan.
fn after(known: &Rows, plan: &Plan) -> Rows {
    let mut now = known.clone();
    now.extend(plan.rows.iter().map(|row| (row.id, row.clone())));
    now
}

#[test]
fn an_edit_is_a_revision_and_growing_views_are_none() {
    let known = rows([row(1, "a"), row(2, "b")]);
    let mut seen = row(1, "a");
    seen.post.as_mut().unwrap().views = Some(9);
    let mut edited = row(2, "B");
    edited.edited_at = Some(50);
    let plan = plan(&known, vec![seen.clone(), edited], &[], None);
    assert_eq!(plan.rows[0], seen);
    assert_eq!((plan.rows[1].revision, plan.rows.len()), (2, 2));
    assert_eq!(plan.replaced, [(1, post(2, "b"))]);
}

#[test]
fn the_last_word_counts_whatever_its_date_says() {
    let at = |text, seconds| Row {
        edited_at: seconds,
        ..row(1, text)
    };
    let known = rows([at("first", Some(50))]);
    // Clocks are set, within a second there are many edits, and Telegram hides dates of some.
    for seconds in [Some(60), Some(50), Some(40), None] {
        let plan = plan(&known, vec![at("last", seconds)], &[], None);
        assert_eq!(plan.rows.len(), 1, "{seconds:?}");
        assert_eq!(plan.rows[0].revision, 2);
        assert_eq!(plan.rows[0].post.as_ref().unwrap().text, "last");
    }
    // Also within one answer: new posts come first, what became of them after.
    let told = vec![at("posted", None), at("edited", Some(40))];
    let plan = plan(&Rows::new(), told, &[], None);
    assert_eq!(plan.rows, [at("edited", Some(40))]);
}

#[test]
fn what_a_page_does_not_tell_is_gone() {
    let known = rows([row(3, "a"), row(4, "b"), Row::deleted(5), row(9, "c")]);
    let plan = plan(&known, vec![row(3, "a")], &[], Some((1, 5)));
    assert_eq!(plan.rows.len(), 1);
    assert_eq!(
        (plan.rows[0].id, plan.rows[0].kind, plan.rows[0].revision),
        (4, Kind::Deleted, 2)
    );
    assert_eq!(plan.replaced, [(1, post(4, "b"))]);
}

#[test]
fn a_deleted_post_is_remembered_even_if_it_was_never_seen() {
    let told = vec![row(7, "posted and deleted at once")];
    let plan = plan(&Rows::new(), told, &[7, 8], None);
    assert_eq!(plan.rows, [Row::deleted(7), Row::deleted(8)]);
}

#[test]
fn an_album_is_one_text_under_its_first_number() {
    let before = rows([in_album(11, "second"), in_album(12, "")]);
    let found = texts(&before);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [11]);
    // An earlier page brings the album's beginning.
    let now = after(
        &before,
        &plan(&before, vec![in_album(10, "first")], &[], None),
    );
    let changed = changes(&found, &texts(&now));
    assert_eq!(changed[0].0, 10);
    assert_eq!(changed[0].1.as_ref().unwrap().text, "first\n\nsecond");
    assert_eq!(changed[1], (11, None));
    // Its first post goes, the album stays where it is.
    let then = after(&now, &plan(&now, Vec::new(), &[10], None));
    let changed = changes(&texts(&now), &texts(&then));
    assert_eq!(changed.len(), 1);
    assert_eq!(
        (changed[0].0, changed[0].1.as_ref().unwrap().text.as_str()),
        (10, "second")
    );
    let end = after(&then, &plan(&then, Vec::new(), &[11, 12], None));
    assert_eq!(changes(&texts(&then), &texts(&end)), [(10, None)]);
}

#[test]
fn a_thread_is_one_text_under_its_first_number() {
    let answer = |id, to, text: &str| {
        let mut post = post(id, text);
        post.reply_to_msg_id = Some(to);
        Row::post(post, None, None)
    };
    let known = rows([
        row(1, "is there a ferry?"),
        answer(2, 1, "at nine"),
        row(3, "something else"),
        answer(4, 2, "thanks"),
    ]);
    let found = texts(&known);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(found[&1].text, "is there a ferry?\n\nat nine\n\nthanks");
    assert_eq!(found[&1].url, "https://t.me/news/1");
    // What held it together may go: it stays one thing, and stays where it is.
    let then = after(&known, &plan(&known, Vec::new(), &[1, 2], None));
    let found = texts(&then);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(
        (found[&1].text.as_str(), found[&1].url.as_str()),
        ("thanks", "https://t.me/news/4")
    );
    let end = after(&then, &plan(&then, Vec::new(), &[4], None));
    assert_eq!(changes(&found, &texts(&end)), [(1, None)]);
}

#[test]
fn a_text_says_where_it_is_from() {
    let mut answer = row(4, "  yes ");
    answer.post.as_mut().unwrap().reply_to_msg_id = Some(3);
    let found = texts(&rows([answer, row(5, " "), Row::service(6)]));
    assert_eq!(found.len(), 1, "{found:?}");
    let text = &found[&4];
    assert_eq!(
        (text.text.as_str(), text.url.as_str()),
        ("yes", "https://t.me/news/4")
    );
    assert_eq!(text.reply_to, Some(3));
}

#[test]
fn a_chain_tells_every_change() {
    let digest = |text: &str, revision| {
        let row = row(1, text);
        chain([(0, block([(row.id, revision, row.hash())])), (1, [7; 32])])
    };
    let all = [
        digest("a", 1),
        digest("b", 1),
        digest("a", 2),
        chain([(0, [7; 32])]),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(all[at + 1..].iter().all(|other| other != one), "{at}");
    }
}

proptest! {
    #[test]
    fn whatever_is_told_in_whatever_order_the_newest_truth_stays(
        steps in prop::collection::vec((1..20_i32, 0..4_u8), 1..60),
    ) {
        let (mut known, mut truth) = (Rows::new(), BTreeMap::<i32, Option<String>>::new());
        for (clock, (id, what)) in steps.into_iter().enumerate() {
            let text = format!("text {clock}");
            let told = Row { edited_at: i32::try_from(clock).ok().map(|at| at + 1), ..row(id, &text) };
            let plan = match what {
                0 => {
                    truth.insert(id, None);
                    plan(&known, Vec::new(), &[id], None)
                }
                1 => {
                    // A page that holds this post alone.
                    truth.iter_mut().filter(|(other, _)| (id - 3..=id + 3).contains(*other))
                        .for_each(|(_, text)| *text = None);
                    truth.insert(id, Some(text));
                    plan(&known, vec![told], &[], Some((id - 3, id + 3)))
                }
                _ => {
                    truth.insert(id, Some(text));
                    plan(&known, vec![told], &[], None)
                }
            };
            known = after(&known, &plan);
        }
        let held: BTreeMap<i32, Option<String>> = known
            .values()
            .map(|row| (row.id, row.post.as_ref().map(|post| post.text.clone())))
            .collect();
        prop_assert_eq!(held, truth);
    }
}
