//! What a question asks for, and which sentences hold such a thing.

use super::terms::{Lexicon, Token};

/// Kinds of things that a question can ask for, several at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "kinds that exclude each other in no way"
)]
pub struct Expected {
    /// A count or a measure.
    pub number: bool,
    /// A time.
    pub time: bool,
    /// A person or a body.
    pub name: bool,
    /// A place.
    pub place: bool,
    /// A cause.
    pub cause: bool,
}

/// Words that ask by themselves, words that ask after "which" or "how", and what they ask for.
struct Cue {
    /// Whole words.
    alone: &'static [&'static str],
    /// First halves of pairs.
    leaders: &'static [&'static str],
    /// Beginnings of words that ask when a leader stands before them.
    led: &'static [&'static str],
}

const WHICH: &[&str] = &[
    "what",
    "which",
    "какой",
    "каком",
    "какая",
    "какую",
    "какого",
    "каких",
    "какие",
    "каким",
    "какова",
    "каков",
];

const NUMBER: Cue = Cue {
    alone: &[
        "сколько",
        "скольких",
        "насколько",
        "процент",
        "процентов",
        "число",
        "percent",
        "percentage",
        "number",
        "average",
    ],
    leaders: &[
        "how",
        "what",
        "как",
        "какой",
        "какая",
        "какое",
        "какую",
        "каков",
        "какова",
    ],
    led: &[
        "many",
        "much",
        "long",
        "old",
        "far",
        "large",
        "big",
        "tall",
        "high",
        "fast",
        "often",
        "wide",
        "deep",
        "heavy",
        "percent",
        "number",
        "age",
        "amount",
        "proportion",
        "fraction",
        "population",
        "средн",
        "процент",
        "количеств",
        "числ",
        "доля",
        "долю",
        "возраст",
        "населени",
        "сумм",
        "площад",
        "долго",
        "часто",
        "далеко",
        "много",
        "велик",
        "длин",
        "высот",
    ],
};
const TIME: Cue = Cue {
    alone: &["when", "когда"],
    leaders: WHICH,
    led: &[
        "year",
        "date",
        "day",
        "month",
        "century",
        "decade",
        "time",
        "год",
        "век",
        "месяц",
        "столети",
        "десятилети",
        "дат",
        "день",
        "дня",
        "числа",
        "времен",
    ],
};
const NAME: Cue = Cue {
    alone: &[
        "who",
        "whom",
        "whose",
        "кто",
        "кого",
        "кому",
        "кем",
        "ком",
        "чей",
        "чья",
        "чье",
        "чьи",
        "звали",
        "зовут",
        "имя",
    ],
    leaders: WHICH,
    led: &[
        "person",
        "player",
        "man",
        "woman",
        "king",
        "author",
        "scientist",
        "president",
        "company",
        "organization",
        "name",
    ],
};
const PLACE: Cue = Cue {
    alone: &["where", "где", "куда", "откуда"],
    leaders: WHICH,
    led: &[
        "city",
        "country",
        "state",
        "place",
        "region",
        "area",
        "town",
        "river",
        "location",
        "street",
        "stadium",
        "город",
        "стран",
        "мест",
        "штат",
        "район",
        "регион",
        "област",
        "част",
    ],
};
const CAUSE: Cue = Cue {
    alone: &["why", "почему", "зачем", "причине", "причиной"],
    leaders: WHICH,
    led: &["reason", "cause", "led", "вызвал", "привел", "причин"],
};

/// Words of time beside years.
const TIME_WORDS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "century",
    "decade",
    "today",
    "season",
    "январ",
    "феврал",
    "март",
    "апрел",
    "мая",
    "май",
    "июн",
    "июл",
    "август",
    "сентябр",
    "октябр",
    "ноябр",
    "декабр",
    "век",
    "столети",
    "годах",
    "году",
    "десятилети",
];
/// Numbers in letters.
const NUMBER_WORDS: &[&str] = &[
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "twenty",
    "thirty",
    "forty",
    "fifty",
    "hundred",
    "thousand",
    "million",
    "billion",
    "half",
    "third",
    "quarter",
    "dozen",
    "percent",
    "twice",
    "double",
    "single",
    "один",
    "одна",
    "одно",
    "два",
    "две",
    "двух",
    "три",
    "трех",
    "четыр",
    "пять",
    "пяти",
    "шест",
    "семь",
    "семи",
    "восем",
    "девят",
    "десят",
    "двадцат",
    "тридцат",
    "сорок",
    "сто",
    "сот",
    "тысяч",
    "миллион",
    "миллиард",
    "половин",
    "треть",
    "четверт",
    "процент",
    "дважды",
    "вдвое",
];
/// Words that give a reason.
const CAUSE_WORDS: &[&str] = &[
    "because",
    "due",
    "since",
    "caus",
    "reason",
    "result",
    "led",
    "owing",
    "therefore",
    "thus",
    "allow",
    "потому",
    "из",
    "поскольку",
    "причин",
    "вследствие",
    "результате",
    "благодаря",
    "чтобы",
    "поэтому",
    "привел",
    "вызва",
];

impl Cue {
    fn holds(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.alone.contains(word))
            || words.windows(2).any(|pair| {
                self.leaders.contains(&pair[0])
                    && self.led.iter().any(|start| pair[1].starts_with(start))
            })
    }
}

impl Expected {
    /// Reads a question's normalised words, Russian and English.
    pub fn of(words: &[&str]) -> Self {
        let time = TIME.holds(words);
        Self {
            number: !time && NUMBER.holds(words),
            time,
            name: NAME.holds(words),
            place: PLACE.holds(words),
            cause: CAUSE.holds(words),
        }
    }
}

/// What a sentence holds beyond the question's own words, each 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Offer {
    /// Numbers.
    pub number: f64,
    /// Times.
    pub time: f64,
    /// Names.
    pub name: f64,
    /// Reasons.
    pub cause: f64,
}

impl Offer {
    /// Reads a sentence; `asked` tells the stems of the question.
    pub fn of(sentence: &[Token], lexicon: &Lexicon, asked: impl Fn(u32) -> bool) -> Self {
        let (mut digits, mut letters, mut year, mut time, mut name, mut cause) = Default::default();
        for (at, token) in sentence.iter().enumerate() {
            let word = lexicon.word(token.form);
            let is_new = !asked(token.stem);
            digits |= token.has_digit && is_new;
            year |= is_new && is_year(word);
            name |= at > 0 && token.is_capital && is_new;
            letters |= begins(word, NUMBER_WORDS);
            time |= begins(word, TIME_WORDS);
            cause |= begins(word, CAUSE_WORDS);
        }
        let part = |holds: bool, weight: f64| if holds { weight } else { 0.0 };
        Self {
            number: part(digits, 0.7) + part(digits || letters, 0.3),
            time: part(year, 0.7) + part(year || time, 0.3),
            name: part(name, 1.0),
            cause: part(cause, 1.0),
        }
    }
}

/// Short entries must match whole, longer ones may go on: word forms.
fn begins(word: &str, list: &[&str]) -> bool {
    list.iter()
        .any(|start| word == *start || (start.chars().count() >= 4 && word.starts_with(start)))
}

fn is_year(word: &str) -> bool {
    word.len() >= 4
        && word.as_bytes()[..4].iter().all(u8::is_ascii_digit)
        && !word.as_bytes().get(4).is_some_and(u8::is_ascii_digit)
        && (word.starts_with('1') || word.starts_with("20"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_question_asks_for() {
        let expected = |question: &str| {
            let words: Vec<_> = question.split(' ').collect();
            Expected::of(&words)
        };
        assert!(expected("how many points did they score").number);
        assert!(expected("сколько очков они набрали").number);
        assert!(expected("in what year did it open").time);
        assert!(expected("в каком году открылся музей").time);
        assert!(expected("кто основал город").name && expected("who founded it").name);
        assert!(expected("in which city was it").place && expected("в каком городе").place);
        assert!(expected("почему он уехал").cause);
        assert_eq!(expected("tell me about rivers"), Expected::default());
    }
}
