//! Posts that read like news of places that do not exist, in two languages.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::scenario::Language;

const EN_PLACES: [&str; 12] = [
    "Severogorsk",
    "Port Amber",
    "Lakeholm",
    "Ostrava Heights",
    "New Kestrel",
    "Brindle Bay",
    "Westmere",
    "Alder Falls",
    "Cape Linnet",
    "Marlow Ridge",
    "Stonefield",
    "Quillhaven",
];
const EN_THINGS: [&str; 12] = [
    "the tram line",
    "the observatory",
    "the city library",
    "the botanical garden",
    "the ferry service",
    "the data centre",
    "the university",
    "the old lighthouse",
    "the chess club",
    "the planetarium",
    "the weather station",
    "the concert hall",
];
const EN_NEWS: [&str; 14] = [
    "{thing} in {place} reopens on {day} {month}, after repairs that took {n} months.",
    "{n} new benches were set up along the river in {place}.",
    "{place} will spend {n} million on {thing} next year.",
    "A record of {n} visitors came to {thing} in {place} on {day} {month}.",
    "Engineers in {place} measured {n} milliseconds between both ends of the new cable.",
    "From {day} {month} a ticket for {thing} in {place} costs {n} crowns.",
    "{n} volunteers planted trees around {thing} in {place}.",
    "Scientists of {place} counted {n} storks this spring, more than ever before.",
    "The bridge at {place} is closed to lorries heavier than {n} tonnes.",
    "The app now loads messages {n} percent faster, even on old phones.",
    "We support {n} languages from today, thanks to translators in {place}.",
    "{thing} in {place} is open until {n} o'clock on Fridays.",
    "The team in {place} fixed {n} bugs and promises to make new ones.",
    "On {day} {month} it snowed in {place} for the first time in {n} years.",
];
const EN_TAILS: [&str; 8] = [
    "Thanks to everybody who helped.",
    "Details follow next week.",
    "Bring a friend.",
    "The mayor calls it a good start.",
    "Nobody was hurt.",
    "Photos are in the comments.",
    "This year, I wish you less noise and more time for what matters.",
    "Read the whole story on the website of the city.",
];
const EN_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const RU_PLACES: [&str; 12] = [
    "Северогорске",
    "Янтарном",
    "Озёрске",
    "Новом Пустельгове",
    "Каменке",
    "Липовом Броде",
    "Заречье",
    "Вышнем Логе",
    "Соловьёвке",
    "Белом Мысе",
    "Ольховке",
    "Песочинске",
];
const RU_THINGS: [&str; 12] = [
    "трамвайная линия",
    "обсерватория",
    "городская библиотека",
    "паромная переправа",
    "метеостанция",
    "картинная галерея",
    "набережная",
    "школа искусств",
    "оранжерея",
    "ледовая арена",
    "книжная ярмарка",
    "подстанция",
];
const RU_NEWS: [&str; 14] = [
    "В {place} {day} {month} снова открывается {thing}, ремонт длился {n} месяцев.",
    "Вдоль реки в {place} поставили {n} новых скамеек.",
    "{thing} в {place} получит в следующем году {n} миллионов.",
    "{day} {month} {thing} в {place} приняла {n} посетителей, это рекорд.",
    "Инженеры в {place} измерили задержку нового кабеля: {n} миллисекунд.",
    "С {day} {month} билет в {place} стоит {n} крон.",
    "{n} добровольцев посадили деревья там, где стоит {thing} в {place}.",
    "Орнитологи насчитали в {place} {n} аистов, больше, чем когда-либо.",
    "Мост в {place} закрыт для грузовиков тяжелее {n} тонн.",
    "Приложение теперь загружает сообщения на {n} процентов быстрее.",
    "С сегодняшнего дня мы говорим на {n} языках, спасибо переводчикам.",
    "По пятницам {thing} в {place} работает до {n} часов.",
    "Команда в {place} исправила {n} ошибок и обещает сделать новые.",
    "{day} {month} в {place} впервые за {n} лет выпал снег.",
];
const RU_TAILS: [&str; 8] = [
    "Спасибо всем, кто помогал.",
    "Подробности на следующей неделе.",
    "Приходите с друзьями.",
    "Мэр называет это хорошим началом.",
    "Никто не пострадал.",
    "Фотографии в комментариях.",
    "Вход свободный.",
    "Читайте полностью на сайте города.",
];
const RU_MONTHS: [&str; 12] = [
    "января",
    "февраля",
    "марта",
    "апреля",
    "мая",
    "июня",
    "июля",
    "августа",
    "сентября",
    "октября",
    "ноября",
    "декабря",
];

/// A post's text.
pub(crate) fn post(language: Language, rng: &mut ChaCha8Rng) -> String {
    let (news, tails) = match language {
        Language::En => (&EN_NEWS, &EN_TAILS),
        Language::Ru => (&RU_NEWS, &RU_TAILS),
    };
    let mut text = fill(pick(news, rng), language, rng);
    for _ in 0..rng.random_range(0..3) {
        text.push_str(if rng.random_ratio(1, 4) { "\n\n" } else { " " });
        let next = if rng.random_ratio(1, 2) {
            fill(pick(news, rng), language, rng)
        } else {
            pick(tails, rng).to_owned()
        };
        text.push_str(&next);
    }
    text
}

/// A channel's title and public name.
pub(crate) fn channel(language: Language, number: u16, rng: &mut ChaCha8Rng) -> (String, String) {
    let (place, _, _) = words(language);
    let at = rng.random_range(0..place.len());
    let slug: String = EN_PLACES[at]
        .chars()
        .filter(char::is_ascii_alphabetic)
        .collect::<String>()
        .to_ascii_lowercase();
    match language {
        Language::En => (
            format!("News of {}", place[at]),
            format!("{slug}_news{number}"),
        ),
        Language::Ru => (
            format!("Новости: {}", place[at]),
            format!("{slug}_novosti{number}"),
        ),
    }
}

/// A user's first and last name.
pub(crate) fn person(rng: &mut ChaCha8Rng) -> (String, String) {
    const FIRST: [&str; 8] = [
        "Alice", "Boris", "Clara", "Dmitri", "Elena", "Felix", "Galina", "Hugo",
    ];
    const LAST: [&str; 8] = [
        "Amber", "Belov", "Crane", "Drozd", "Egret", "Finch", "Gromov", "Heron",
    ];
    (pick(&FIRST, rng).to_owned(), pick(&LAST, rng).to_owned())
}

fn words(language: Language) -> ([&'static str; 12], [&'static str; 12], [&'static str; 12]) {
    match language {
        Language::En => (EN_PLACES, EN_THINGS, EN_MONTHS),
        Language::Ru => (RU_PLACES, RU_THINGS, RU_MONTHS),
    }
}

fn fill(template: &str, language: Language, rng: &mut ChaCha8Rng) -> String {
    let (places, things, months) = words(language);
    let day = rng.random_range(1..29_u32).to_string();
    let number = rng.random_range(2..990_u32).to_string();
    let (place, thing, month) = (pick(&places, rng), pick(&things, rng), pick(&months, rng));
    let mut text = String::with_capacity(template.len() + 40);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}').unwrap_or((after, ""));
        text.push_str(before);
        text.push_str(match name {
            "place" => place,
            "thing" => thing,
            "month" => month,
            "day" => &day,
            _ => &number,
        });
        rest = tail;
    }
    text.push_str(rest);
    capital(text)
}

fn capital(text: String) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if first.is_lowercase() => first.to_uppercase().chain(chars).collect(),
        _ => text,
    }
}

fn pick<'a>(list: &[&'a str], rng: &mut ChaCha8Rng) -> &'a str {
    list.choose(rng).copied().unwrap_or_default()
}
