use crate::normalize;
use crate::word::words;

/// What kind of thing a question asks for, as far as its words tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Expectation {
    /// A count or a measure: "how many", «сколько».
    Number,
    /// A time: "when", "what year", «когда», «в каком году».
    Time,
    /// A person or a body: "who", «кто».
    Name,
    /// A place: "where", «где».
    Place,
    /// Nothing in particular.
    #[default]
    Anything,
}

impl Expectation {
    /// Reads the kind off the words of a question, Russian and English.
    pub fn of(question: &str) -> Self {
        let words: Vec<String> = words(question).map(|word| normalize(word.text)).collect();
        let has = |word: &str| words.iter().any(|w| w == word);
        let pair = |first: &[&str], second: &[&str]| {
            words
                .windows(2)
                .any(|pair| first.contains(&pair[0].as_str()) && second.contains(&pair[1].as_str()))
        };
        let times = [
            "year",
            "years",
            "date",
            "day",
            "month",
            "century",
            "decade",
            "time",
            "году",
            "год",
            "веке",
            "век",
            "дату",
            "дата",
            "день",
            "месяце",
            "период",
        ];
        if pair(
            &["what", "which", "каком", "какой", "какую", "какая"],
            &times,
        ) || has("when")
            || has("когда")
        {
            return Self::Time;
        }
        if pair(
            &["how"],
            &[
                "many", "much", "large", "long", "tall", "old", "far", "big", "often", "fast",
                "high", "deep",
            ],
        ) || has("сколько")
            || has("percentage")
            || has("процент")
        {
            return Self::Number;
        }
        if [
            "who", "whom", "whose", "кто", "кого", "кем", "кому", "чей", "чья",
        ]
        .iter()
        .any(|w| has(w))
        {
            return Self::Name;
        }
        if ["where", "где", "куда", "откуда"].iter().any(|w| has(w)) {
            return Self::Place;
        }
        Self::Anything
    }

    /// Whether a sentence holds something of this kind that the question does not already name.
    ///
    /// `is_asked` tells of the first byte of a word, counted in the sentence, whether the word is
    /// one of the question's terms.
    pub fn is_met(self, sentence: &str, mut is_asked: impl FnMut(usize) -> bool) -> bool {
        let listed =
            |list: &[&str], word: &str| list.binary_search(&normalize(word).as_str()).is_ok();
        let capital = |word: &str| word.chars().next().is_some_and(char::is_uppercase);
        words(sentence).enumerate().any(|(at, word)| {
            let digits = word.text.bytes().filter(u8::is_ascii_digit).count();
            let fits = match self {
                Self::Anything => true,
                Self::Number => digits > 0 || listed(NUMERALS, word.text),
                Self::Time => digits >= 3 || listed(TIMES, word.text),
                Self::Name | Self::Place => at > 0 && capital(word.text),
            };
            fits && !is_asked(word.span.start)
        })
    }
}

/// Sorted by bytes.
#[rustfmt::skip]
const NUMERALS: &[&str] = &[
    "billion", "dozen", "eight", "eleven", "fifteen", "fifty", "five", "forty", "four", "half",
    "hundred", "million", "nine", "one", "quarter", "seven", "six", "ten", "third", "thirty",
    "thousand", "three", "trillion", "twelve", "twenty", "two", "zero", "восемь", "восьми", "два",
    "двадцать", "две", "двух", "девять", "десяти", "десять", "дюжина", "миллиард", "миллиарда",
    "миллиардов", "миллион", "миллиона", "миллионов", "один", "одна", "половина", "пяти", "пять",
    "семи", "семь", "сотни", "сто", "треть", "трех", "три", "тридцать", "тысяч", "тысяча",
    "тысячи", "четверть", "четыре", "четырех", "шести", "шесть",
];

/// Sorted by bytes.
#[rustfmt::skip]
const TIMES: &[&str] = &[
    "april", "august", "century", "december", "february", "friday", "january", "july", "june",
    "march", "monday", "november", "october", "saturday", "september", "sunday", "thursday",
    "tuesday", "wednesday", "августа", "августе", "апреле", "апреля", "век", "века", "веке",
    "декабре", "декабря", "июле", "июля", "июне", "июня", "мае", "марта", "марте", "мая",
    "ноябре", "ноября", "октябре", "октября", "сентябре", "сентября", "феврале", "февраля",
    "январе", "января",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_asked_for() {
        for (question, expected) in [
            ("How many points did they score?", Expectation::Number),
            ("In what year was it built?", Expectation::Time),
            ("When did it start?", Expectation::Time),
            ("Кто написал роман?", Expectation::Name),
            ("Где находится музей?", Expectation::Place),
            ("В каком году началась война?", Expectation::Time),
            ("What is photosynthesis?", Expectation::Anything),
        ] {
            assert_eq!(Expectation::of(question), expected, "{question}");
        }
    }

    #[test]
    fn what_the_question_names_is_no_answer() {
        let asked = |start: usize| start == "It happened in ".len();
        assert!(!Expectation::Time.is_met("It happened in 1990.", asked));
        assert!(Expectation::Time.is_met("It happened in 1990, not in 1991.", asked));
    }

    #[test]
    fn lists_are_sorted_and_normalised() {
        for list in [NUMERALS, TIMES] {
            assert!(list.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(list.iter().all(|word| normalize(word) == *word));
        }
    }
}
